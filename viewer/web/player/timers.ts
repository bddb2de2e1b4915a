/** Timers of the browser as a replay takes them (schemas/player/replay.ts). */
export function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}
