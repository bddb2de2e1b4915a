/**
 * Reports a finding when a hundred programs of a session look as if somebody other than its user ran them. Reports nothing until the
 * user has run 200 programs and all users 1,000 more, and at most one finding per session. Tested in masquerade.test.ts.
 */
import { eventId } from '#schemas/events/rows.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { formOf } from '../baselines/habits.js';
import type { PastForms } from '../baselines/profile.js';
import type { Detection, Detector, RuleFacts, SessionDetector } from '../detection/detector.js';
import { BLOCK, DEVIATIONS, ENOUGH_OTHERS, ENOUGH_OWN, Familiarity } from './model.js';

const RULE: RuleFacts = {
  id: 'steno/masquerade',
  title: 'Commands unlike those of this user',
  severity: 'medium',
  tier: 'session',
  techniques: ['T1078'],
  advice: 'Ask the user, by another way than this account, whether it was them.',
};
const NAMED = 5;

export interface FormsReader {
  formsBefore(session: SessionRow): Promise<PastForms>;
}

export class MasqueradeDetector implements Detector {
  readonly name = 'masquerade';
  readonly scope = { kind: 'perSession' } as const;
  readonly rules = [RULE];
  readonly #history: FormsReader;

  constructor(history: FormsReader) {
    this.#history = history;
  }

  async open(session: SessionRow): Promise<SessionDetector> {
    const past = await this.#history.formsBefore(session);
    const { user, everybody } = past;
    if (user.total < ENOUGH_OWN || everybody.total - user.total < ENOUGH_OTHERS) return { take: () => [] };
    const familiarity = new Familiarity(user, everybody);
    const { expected, deviation } = familiarity.own();
    const limit = expected - DEVIATIONS * deviation;
    let block: { readonly form: string; readonly row: EventRow }[] = [];
    let told = false;
    return {
      take: (observation) => {
        if (told || observation.kind !== 'event') return [];
        const { row } = observation;
        const form = row.kind === 'exec' && row.source === 'kernel' ? formOf(row.path, row.name) : '';
        if (form === '') return [];
        block.push({ form, row });
        if (block.length < BLOCK) return [];
        const mean = familiarity.mean(block.map((one) => one.form));
        const full = block;
        block = [];
        if (mean >= limit) return [];
        told = true;
        return [detectionOf(full, { mean, expected, limit }, familiarity, past)];
      },
    };
  }
}

function detectionOf(
  block: readonly { readonly form: string; readonly row: EventRow }[],
  { mean, expected, limit }: { readonly mean: number; readonly expected: number; readonly limit: number },
  familiarity: Familiarity,
  past: PastForms,
): Detection {
  const { session, user, node, login, at, offset_ms } = block.at(-1)!.row;
  const strange = new Map<string, number>();
  for (const { form } of block) if (!past.user.of.has(form)) strange.set(form, (strange.get(form) ?? 0) + 1);
  const never = [...strange.values()].reduce((sum, times) => sum + times, 0);
  const named = [...strange].sort(([a, times], [b, others]) => others - times || (a < b ? -1 : 1)).slice(0, NAMED).map(([form]) => form); // prettier-ignore
  const examples = named.length === 0 ? '' : `, such as ${named.join(', ')}`;
  const reason =
    `${BLOCK} programs in a row score ${mean.toFixed(2)}, where ${user}'s own are expected at ${expected.toFixed(2)} and hardly ever below ${limit.toFixed(2)}: ` +
    `${never} of them ${user} never ran so in ${past.days} days (${past.user.total} programs)${examples}`;
  // The least familiar ones first, up to the number given as evidence.
  const evidence = [...block].sort((a, b) => familiarity.score(a.form) - familiarity.score(b.form)).slice(0, 20).map(({ row }) => row); // prettier-ignore
  evidence.sort((a, b) => a.at - b.at || a.block - b.block || a.index - b.index);
  return { rule: RULE, reason, session, user, node, login, at, offset_ms, row: null, evidence: evidence.map(eventId), key: 'session' };
}
