/** Figures of the patterns page, as text and as a grid. Tested in figures.test.ts. */
import type { SessionPatterns } from '#schemas/api/recordings/patterns.js';

interface Counts {
  readonly sessions: number;
  readonly incidents: number;
}
interface HourCell extends Counts {
  /** 0: no session; 1 to 4: quarters of the busiest hour. */
  readonly level: number;
}

/** Seven days starting on Monday, each of 24 hours. */
export function hourGrid(hours: SessionPatterns['hours']): { readonly cells: readonly (readonly HourCell[])[]; readonly busiest: number } {
  const busiest = Math.max(0, ...hours.map(({ sessions }) => sessions));
  const cells = Array.from({ length: 7 }, (_, day) =>
    Array.from({ length: 24 }, (_none, hour): HourCell => {
      const { sessions = 0, incidents = 0 } = hours.find((one) => one.day === day + 1 && one.hour === hour) ?? {};
      return { sessions, incidents, level: sessions === 0 ? 0 : Math.ceil((4 * sessions) / busiest) };
    }),
  );
  return { cells, busiest };
}

/** Fewer sessions than this prove nothing. */
const FEWEST = 5;
const TOO_FEW = 'too few to tell';

/** `12 times as often`, `as often`, `less often`. `compared`: sessions without findings, with which those with findings are compared. */
export function liftText(lift: number, compared: number): string {
  if (compared < FEWEST) return TOO_FEW;
  if (lift < 0.8) return 'less often than elsewhere';
  if (lift < 1.5) return 'as often as elsewhere';
  return `${lift < 10 ? lift.toFixed(1) : Math.round(lift).toLocaleString()} times as often`;
}

/** A node's share of sessions with findings compared with that of all nodes, in words; too few sessions are not judged. */
export function shareText(node: Counts, all: Counts): string {
  if (node.sessions < FEWEST || all.incidents === 0) return TOO_FEW;
  const ratio = node.incidents / node.sessions / (all.incidents / all.sessions);
  if (ratio >= 1.5) return `${ratio.toFixed(1)} times the average`;
  return ratio <= 0.67 ? 'below average' : 'average';
}
