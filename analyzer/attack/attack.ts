/**
 * The ATT&CK techniques that rules name: whether an id exists, its name, and the replacement of a withdrawn id. The data is in
 * `table.ts` (docs/decisions/0103-the-attack-map.md). Tested in attack.test.ts.
 */
import { attackTable } from './table.js';

export interface Technique {
  readonly id: string;
  readonly name: string;
  /** Names as in the tags of rules: `credential-access`. */
  readonly tactics: readonly string[];
}

export const techniques: ReadonlyMap<string, Technique> = new Map(
  attackTable
    .trim()
    .split('\n')
    .map((line) => {
      const [id = '', name = '', tactics = ''] = line.split('|');
      return [id, { id, name, tactics: tactics.split(' ') }];
    }),
);

/** Ids from the previous release that are no longer used, with their replacements. */
export const moved: ReadonlyMap<string, string> = new Map([
  ['T1070.001', 'T1685.005'],
  ['T1070.002', 'T1685.006'],
  ['T1562', 'T1685'],
  ['T1562.001', 'T1685'],
  ['T1562.002', 'T1685.001'],
  ['T1562.003', 'T1690'],
  ['T1562.004', 'T1686'],
  ['T1562.006', 'T1685'],
  ['T1562.007', 'T1686.001'],
  ['T1562.008', 'T1685.002'],
  ['T1562.009', 'T1688'],
  ['T1562.010', 'T1689'],
  ['T1562.011', 'T1685.003'],
  ['T1562.012', 'T1685.004'],
  ['T1562.013', 'T1686.002'],
  ['T1656', 'T1684.001'],
  ['T1672', 'T1684.002'],
]);

/** The current id of a technique. */
export function currentId(id: string): string {
  return moved.get(id) ?? id;
}

/** The fault of a technique id in a rule; null if there is none. */
export function faultOfTechnique(id: string): string | null {
  if (techniques.has(id)) return null;
  const now = moved.get(id);
  return now === undefined ? `there is no technique ${id} in ATT&CK` : `${id} is ${now} in ATT&CK now`;
}
