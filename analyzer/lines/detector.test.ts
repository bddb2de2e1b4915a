import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import type { Detection, Observation } from '../detection/detector.js';
import { factsOf } from '../sigma/rule-facts.js';
import { loadRules } from '../sigma/rule-set.js';
import { lineDetector } from './detector.js';

const { evaluable } = loadRules([
  {
    name: 'r.yml',
    text: 'title: Shadow\nid: 11111111-1111-4111-8111-111111111111\nlogsource: { product: linux, category: file_access }\ndetection: { sel: { TargetFilename: /etc/shadow }, condition: sel }\ntags: [attack.t1003.008, steno.tier.alert]\nsteno: { advice: Look. }\n',
  },
]);
const detector = lineDetector(evaluable.map(({ rule, scope, predicate }) => ({ scope, predicate, facts: factsOf(rule) })));
const whose = { session: '01m81gpp13j0br7sqn8qcecmxs', user: 'ann', node: 'web', login: 'ann', block: 0 };
const screen = (row: number, text: string, index = 0): Observation => ({
  kind: 'screen',
  row: { ...whose, index, at: index, offset_ms: index, row, text } satisfies ScreenRow,
});
const run = async (observations: readonly Observation[]): Promise<readonly Detection[]> => {
  const session = await detector.open(null);
  return [
    { kind: 'start', session: { cols: 40 } as SessionRow } as Observation,
    ...observations,
    { kind: 'end', session: {} as SessionRow } as Observation,
  ].flatMap((one) => session.take(one));
};

describe('lines that were typed', () => {
  it('are examined by the rules, with the row of the screen', async () => {
    const found = await run([
      screen(3, 'ann@web:~$ cat /etc/sh', 1),
      screen(3, 'ann@web:~$ cat /etc/shadow', 2),
      screen(4, 'Permission denied', 3),
    ]);
    expect(found).toMatchObject([{ rule: { advice: 'Look.', tier: 'alert', techniques: ['T1003.008'] }, row: 3, offset_ms: 2 }]);
  });

  it('are not examined before they are whole', async () => {
    expect(await run([screen(3, 'ann@web:~$ cat /etc/shadow', 1), screen(3, 'ann@web:~$ cat /etc/shadow.example', 2)])).toEqual([]);
  });

  it('go on in the next row where the screen is too narrow', async () => {
    expect(await run([screen(3, 'ann@web:~$ cat aaaaaaaaaaaaaaaaaaa /etc/'.padEnd(40), 1), screen(4, 'shadow', 2)])).toHaveLength(1);
  });

  it('are also the commands of sessions and scripts of shells, each once', async () => {
    const exec: EventRow = {
      ...whose,
      ...noFacts,
      source: 'recording',
      emitter: '',
      index: 0,
      at: 1,
      offset_ms: 1,
      kind: 'exec',
      name: 'cat /etc/shadow',
    };
    const kernel: EventRow = {
      ...exec,
      source: 'kernel',
      path: '/bin/bash',
      name: 'bash -c …',
      data: '{"argv":["bash","-c","cat  /etc/shadow"]}',
    };
    const found = await run([
      { kind: 'event', row: exec },
      { kind: 'event', row: exec },
      { kind: 'event', row: kernel },
    ]);
    expect(found.map(({ evidence }) => evidence.length)).toEqual([1, 1]);
  });
});
