/**
 * Detection rules: stored with every version of their text, and delivered to analyzers.
 *
 * The text is not parsed here: the Sigma parser is in the analyzer. An unreadable rule is refused there alone, and its line
 * in `steno rules ls` says so; the other rules stay in force. The watch gives analyzers the version of the whole set. Tested
 * in rules.test.ts.
 */
import { deleteRule, enableRule, listRules, putRules, readRuleSet, reportRules, showRule } from '#schemas/api/detection/rules.js';
import { StenoError } from '#schemas/base/errors.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Context, Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Records } from '../records/records.js';
import { keepRuleCounts } from '../records/detection/rule-counts.js';
import {
  allRules,
  newRuleSet,
  putRule,
  removeRule,
  ruleNamed,
  rulesInForce,
  ruleSetVersion,
  setEnabled,
} from '../records/detection/rules.js';
import type { PutRule } from '../records/detection/rules.js';

export interface RuleParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
}

/** Bytes of rule texts in one answer to an analyzer. */
const SET_BYTES = 512 * 1024;

export function ruleRoutes({ records, directory, clock }: RuleParts): readonly Route[] {
  return [
    handle(listRules, () => records.read(allRules)),
    handle(showRule, async (_, { name }) => {
      const rule = await records.read((db) => ruleNamed(db, name));
      if (rule === undefined) throw new StenoError('NOT_FOUND', `rule ${name}`);
      return rule;
    }),
    handle(
      putRules,
      async (c) => {
        const { caller, body } = c;
        const now = clock();
        const put = await records.actOn(async (tx) => {
          const done: PutRule[] = [];
          for (const rule of body.rules) {
            const one = await putRule(tx, rule, body.enabled, caller.actor, now);
            requireVerb(c, one);
            done.push(one);
          }
          const changed = done.filter(({ change }) => change !== 'unchanged');
          if (changed.length > 0) await newRuleSet(tx, now);
          const rows = changed.map(({ id, version, change }) => {
            const { text, origin } = body.rules.find((rule) => rule.id === id)!;
            return auditRow(now, caller, { event: 'rule.put', target: id, data: { version, change, enabled: body.enabled, origin, text } });
          });
          return { result: done, rows };
        });
        await directory.changed();
        return put;
      },
      ({ rules }) =>
        rules
          .map(({ id }) => id)
          .join(' ')
          .slice(0, 1024),
    ),
    handle(enableRule, async ({ caller, body: { enabled } }, { name }) => {
      const now = clock();
      await records.actOn(async (tx) => {
        const changed = await setEnabled(tx, name, enabled);
        if (changed) await newRuleSet(tx, now);
        return { result: undefined, rows: [auditRow(now, caller, { event: 'rule.enable', target: name, data: { enabled, changed } })] };
      });
      await directory.changed();
    }),
    handle(deleteRule, async ({ caller }, { name }) => {
      const now = clock();
      await records.actOn(async (tx) => {
        const rule = await ruleNamed(tx, name);
        await removeRule(tx, name);
        await newRuleSet(tx, now);
        const data = { version: rule?.version, text: rule?.text };
        return { result: undefined, rows: [auditRow(now, caller, { event: 'rule.delete', target: name, data })] };
      });
      await directory.changed();
    }),
    // Read the version first: if a rule changes meanwhile, the version changes and everything is read again.
    handle(readRuleSet, async ({ body }) => ({
      version: await records.read(ruleSetVersion),
      ...(await records.read((db) => rulesInForce(db, body.after, SET_BYTES))),
    })),
    handle(reportRules, async ({ caller, body }) => {
      const at = clock();
      await records.act([], async (tx) => {
        for (const { id, ...said } of body.rules) {
          const known = await tx.selectFrom('rules').select('id').where('id', '=', id).executeTakeFirst();
          if (known === undefined) continue;
          await tx
            .insertInto('rule_reports')
            .values({ rule: id, ...said, at })
            .onConflict((on) => on.column('rule').doUpdateSet({ ...said, at }))
            .execute();
          await keepRuleCounts(tx, caller.actor, [{ rule: id, hits: said.hits, observations: 0, cost_ms: 0 }]);
        }
      });
    }),
  ];
}

/** The route admits users who may create or update; which verb is needed depends on whether the rule exists. */
function requireVerb({ principal }: Context<unknown>, { id, change }: PutRule): void {
  if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED', 'this is for users');
  const verb = change === 'added' ? 'create' : 'update';
  if (change !== 'unchanged' && !mayAdminister(principal.roles, 'rule', verb))
    throw new StenoError('ACCESS_DENIED', `none of your roles permits to ${verb} rules: ${id}`);
}
