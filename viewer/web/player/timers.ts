/** Browser timers in the form that a replay takes (schemas/player/replay.ts). */
export function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}
