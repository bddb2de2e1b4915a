/**
 * Sessions of several commands and their risk scores (analyzer/risk/): chains of three to five attack steps of different techniques, alone or among
 * everyday commands, and sessions of everyday commands that are close together in the set, like one person's work.
 */
import type { Detection, RuleFacts } from '../../analyzer/detection/detector.js';
import { RiskScore } from '../../analyzer/risk/score.js';

export interface Step {
  readonly command: string;
  readonly techniques: readonly string[];
}

/** The rules' findings in one command. */
export type Find = (command: string) => readonly RuleFacts[];

export function scoreOf(commands: readonly string[], find: Find): number {
  const risk = new RiskScore();
  for (const [i, command] of commands.entries())
    for (const rule of find(command)) {
      const detection: Detection = {
        rule,
        reason: '',
        session: '',
        user: '',
        node: '',
        login: '',
        at: i,
        offset_ms: i,
        row: null,
        evidence: [`${i}`],
        key: command,
      };
      risk.add(detection);
    }
  return risk.score;
}

export function chains(attacks: readonly Step[], benign: readonly Step[], count: number, r: () => number): readonly (readonly string[])[] {
  return Array.from({ length: count }, () => {
    const steps = 3 + Math.floor(r() * 3);
    const chosen: Step[] = [];
    for (let tries = 0; chosen.length < steps && tries < 200; tries += 1) {
      const step = attacks[Math.floor(r() * attacks.length)]!;
      if (!chosen.some(({ techniques }) => techniques.join() === step.techniques.join())) chosen.push(step);
    }
    const from = Math.floor(r() * benign.length);
    const around = benign.slice(from, from + Math.floor(r() * 8)).map(({ command }) => command);
    const session = chosen.map(({ command }) => command);
    for (const command of around) session.splice(Math.floor(r() * (session.length + 1)), 0, command);
    return session;
  });
}

export function everyday(benign: readonly Step[], count: number, r: () => number): readonly (readonly string[])[] {
  return Array.from({ length: count }, () => {
    const length = 3 + Math.floor(r() ** 2 * 37);
    const from = Math.floor(r() * Math.max(1, benign.length - length));
    return benign.slice(from, from + length).map(({ command }) => command);
  });
}

/** The lowest score that at most one everyday session in a thousand reaches. */
export function thresholdOf(scores: readonly number[], allowed = 0.001): number {
  const sorted = [...scores].sort((a, b) => b - a);
  return (sorted[Math.floor(sorted.length * allowed)] ?? 0) + 0.01;
}
