/**
 * Labelled command lines, from JSON lines: `{ "command": "…", "technique": "T1003.008", "binary": "…", "function": "…" }`. Only `command` is
 * required; `technique` may be a list. If a line has no technique, its GTFOBins function determines it.
 */
import { readFileSync } from 'node:fs';
import { currentId } from '../../analyzer/attack/attack.js';

export interface Line {
  readonly command: string;
  /** A rule must name one of these for the line to count as correctly named; empty if unknown. */
  readonly techniques: readonly string[];
  /** Key by which lines are held out together. */
  readonly group: string;
}

const functions: Readonly<Record<string, readonly string[]>> = {
  shell: ['T1059', 'T1548', 'T1218', 'T1202'],
  command: ['T1059', 'T1202', 'T1218', 'T1053', 'T1569', 'T1546'],
  inherit: ['T1059', 'T1218', 'T1202', 'T1548'],
  'reverse-shell': ['T1059', 'T1095', 'T1071', 'T1572', 'T1219'],
  'bind-shell': ['T1059', 'T1095', 'T1571'],
  'file-read': ['T1005', 'T1003', 'T1552', 'T1083'],
  'file-write': ['T1565', 'T1005', 'T1105', 'T1059', 'T1546', 'T1036', 'T1554', 'T1074'],
  upload: ['T1048', 'T1041', 'T1567', 'T1105', 'T1570', 'T1030', 'T1572', 'T1071'],
  download: ['T1105', 'T1071', 'T1570', 'T1095', 'T1572'],
  'library-load': ['T1574', 'T1129', 'T1106', 'T1059'],
  'privilege-escalation': ['T1548', 'T1222', 'T1098', 'T1003', 'T1574', 'T1036', 'T1059', 'T1554', 'T1074'],
};

export function readLines(path: string): readonly Line[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((text) => text.trim() !== '')
    .map((text) => {
      const value = JSON.parse(text) as {
        command: string;
        technique?: string | string[];
        techniques?: string[];
        binary?: string;
        function?: string;
      };
      const techniques = value.technique ?? value.techniques ?? functions[value.function ?? ''] ?? [];
      const group = value.binary ?? /[\w.+-]+/.exec(value.command)?.[0] ?? '';
      return { command: value.command, techniques: typeof techniques === 'string' ? [techniques] : techniques, group };
    });
}

/** A technique is correctly named by itself, by its parent technique, or by one of its sub-techniques. */
export function isNamed(wanted: readonly string[], found: Iterable<string>): boolean {
  const parent = (id: string): string => currentId(id).split('.')[0]!;
  const parents = new Set(wanted.map(parent));
  for (const id of found) if (parents.has(parent(id))) return true;
  return false;
}
