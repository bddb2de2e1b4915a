/**
 * The rules kept by the authority, in addition to those in files: read completely whenever the watch reports a change of the set.
 *
 *     snapshot.rule_set changes ──► read every page; the version changed meanwhile: again ──► a book ──► told, and reported
 *
 * An invalid rule of the authority is left out and reported as refused; all other rules stay in force. A rule whose id a file also has
 * is refused too. Tested in kept-rules.test.ts.
 */
import { KnownGood, readKnownGood } from '../software/known-good.js';
import { readHoneyTokens } from '#schemas/api/detection/honey.js';
import type { WatchedToken } from '../honey/detector.js';
import { readRuleSet, reportRules } from '#schemas/api/detection/rules.js';
import type { Answer, Send } from '#schemas/endpoint/endpoint.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { loadRules } from '../sigma/rule-set.js';
import type { RuleFile, RuleSet } from '../sigma/rule-set.js';
import { parseRule } from '../sigma/rule.js';
import { splitRules } from '../sigma/document.js';
import { StenoError } from '#schemas/base/errors.js';

export interface KeptRule {
  readonly id: string;
  readonly version: number;
  readonly text: string;
}

export interface KeptRules {
  /** Version of the set. */
  readonly version: number;
  readonly rules: readonly KeptRule[];
}

type Report = Parameters<typeof call<typeof reportRules>>[2]['body'] extends { readonly rules: readonly (infer One)[] } ? One : never;

/** Reads all rules, of one version. */
export async function readKeptRules(send: Send): Promise<KeptRules> {
  for (;;) {
    const rules: KeptRule[] = [];
    let first: number | null = null;
    let changed = false;
    for (let after: string | null = ''; after !== null && !changed;) {
      const page: Answer<typeof readRuleSet> = await call(send, readRuleSet, { body: { after } });
      first ??= page.version;
      changed = page.version !== first;
      rules.push(...page.rules);
      after = page.next;
    }
    if (!changed) {
      // A rule that changed after the version was first read is detected by comparing the version now.
      const now = await call(send, readRuleSet, { body: { after: rules.at(-1)?.id ?? '' } });
      if (now.version === first) return { version: first, rules };
    }
  }
}

/** What the authority keeps for its analyzers, all of one version. */
export interface KeptSet {
  readonly rules: KeptRules;
  readonly honey: readonly WatchedToken[];
  readonly good: KnownGood;
}

/** `before`: hash lists that still exist are not read again. */
export async function readKeptSet(send: Send, before: KnownGood): Promise<KeptSet> {
  for (;;) {
    const rules = await readKeptRules(send);
    const { version, tokens: honey } = await call(send, readHoneyTokens, {});
    if (version !== rules.version) continue;
    const known = await readKnownGood(send, before);
    if (known === null || known.version === version) return { rules, honey, good: known?.good ?? new KnownGood() };
  }
}

export interface KeptBook {
  readonly set: RuleSet;
  /** By rule id. */
  readonly versions: ReadonlyMap<string, number>;
  readonly reports: readonly Omit<Report, 'hits'>[];
}

const MAX_DETAIL = 512;

/** `files` are valid: they were read strictly. */
export function bookOf(files: readonly RuleFile[], kept: readonly KeptRule[]): KeptBook {
  const reports = new Map<string, Omit<Report, 'hits'>>();
  const report = ({ id, version }: KeptRule, state: Report['state'], detail = ''): void => {
    reports.set(id, { id, version, state, detail: detail.slice(0, MAX_DETAIL) });
  };
  const nameOf = ({ id }: KeptRule): string => `authority:${id}`;
  // First leave out documents that cannot be read or do not match the id under which they were sent.
  let taken = kept.filter((rule) => {
    const fault = faultOf(rule);
    if (fault !== null) report(rule, 'refused', fault);
    return fault === null;
  });
  for (;;) {
    const set = loadRules([...files, ...taken.map((rule) => ({ name: nameOf(rule), text: rule.text }))]);
    const faulty = taken.filter((rule) => set.faults.some(({ detail }) => detail?.startsWith(`${nameOf(rule)}:`) === true));
    if (faulty.length > 0) {
      // Such a rule names a rule that does not exist, or has the id of a file's rule: load the rest again without it.
      for (const rule of faulty)
        report(rule, 'refused', set.faults.find(({ detail }) => detail?.startsWith(`${nameOf(rule)}:`) === true)?.detail);
      taken = taken.filter((rule) => !faulty.includes(rule));
      continue;
    }
    for (const rule of taken) {
      const lacking = set.lacking.find(({ rule: { file } }) => file === nameOf(rule));
      report(rule, lacking === undefined ? 'loaded' : 'lacking', lacking?.missing.join('; '));
    }
    return { set, versions: new Map(taken.map(({ id, version }) => [id, version])), reports: [...reports.values()] };
  }
}

function faultOf({ id, text }: KeptRule): string | null {
  try {
    const documents = splitRules(text, `authority:${id}`);
    if (documents.length !== 1) return `holds ${documents.length} documents; one is kept under an id`;
    const rule = parseRule(documents[0]!.source, `authority:${id}`, documents[0]!.firstLine);
    return (rule.id || rule.name) === id ? null : `its id is ${rule.id || rule.name || 'missing'}`;
  } catch (error) {
    if (error instanceof StenoError) return error.detail ?? error.message;
    throw error;
  }
}

const REPORTED_AT_ONCE = 200;

export async function reportKept(send: Send, reports: KeptBook['reports'], hits: ReadonlyMap<string, number>): Promise<void> {
  for (let from = 0; from < reports.length; from += REPORTED_AT_ONCE)
    await call(send, reportRules, {
      body: { rules: reports.slice(from, from + REPORTED_AT_ONCE).map((one) => ({ ...one, hits: hits.get(one.id) ?? 0 })) },
    });
}
