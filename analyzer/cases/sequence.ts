/** Tests of correlations: several events with times, as described by the author of a rule. Tested in sequence.test.ts. */
import { z } from 'zod';
import type { EventRow } from '#schemas/events/rows.js';
import { CorrelationStream } from '../correlation/stream.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { Program } from '../predicate/field.js';
import type { CorrelationPlan } from '../sigma/rule-set.js';
import type { Source } from '../sources/source.js';
import { writerOf } from './example-row.js';
import { ExampleError } from './row-writer.js';

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const START = 1_800_000_000_000;

export const event = z.record(z.string().max(256), z.union([z.string().max(65_536), z.number(), z.boolean()]));

/** Events in the order of arrival; `source` is required if the correlation's rules have several log sources. */
export const sequence = z
  .array(
    z.strictObject({
      at: z
        .string()
        .regex(/^\d{1,9}(ms|[smhd])$/, 'is a time after the first moment, as in 90s')
        .transform((text) => parseInt(text, 10) * units[text.replace(/^\d+/, '')]!),
      source: z.string().max(64).optional(),
      event,
    }),
  )
  .min(1)
  .max(1_000);

/** Throws an ExampleError for an event that does not belong to its source. */
export function correlationHolds(plan: CorrelationPlan, events: z.output<typeof sequence>): boolean {
  const stream = new CorrelationStream([plan]);
  const sources = new Map(sourcesOf(plan).map((source) => [source.name, source]));
  const rows = events.map((one, index) => rowOf(one, index, sources));
  const firings = [...rows.flatMap(({ row, other }) => stream.take(row, other)), ...stream.end()];
  return firings.some((firing) => firing.plan === plan);
}

function rowOf(
  { at, source: named, event }: z.output<typeof sequence>[number],
  index: number,
  sources: ReadonlyMap<string, Source>,
): { readonly row: EventRow; readonly other: Program | null } {
  const known = [...sources.keys()].join(', ');
  if (named === undefined && sources.size > 1) throw new ExampleError(`event ${index + 1} is of which log source? source: one of ${known}`);
  const source = named === undefined ? [...sources.values()][0]! : sources.get(named);
  if (source === undefined) throw new ExampleError(`the rules have no log source ${named}; there is ${known}`);
  const writer = writerOf(source, event);
  const written = writer.row();
  const given = (text: string): string => (text === '' ? 'example' : text);
  const { session, user, node, login } = written;
  const row = {
    ...written,
    index,
    at: START + at,
    offset_ms: at,
    session: given(session),
    user: given(user),
    node: given(node),
    login: given(login),
  };
  if (new RuleMatcher([{ scope: source, predicate: { kind: 'truth', truth: true } }]).match(row).length === 0)
    throw new ExampleError(`${source.name} takes no such event`);
  return { row, other: writer.other };
}

function sourcesOf(plan: CorrelationPlan): readonly Source[] {
  return [...new Set(plan.steps.flatMap((step) => (step.kind === 'rule' ? [step.rule.scope] : sourcesOf(step.plan))))];
}
