/** Texts for gaps of kernel events, shared by the command and the page. */
const gapReasons: Readonly<Record<string, string>> = {
  ring_full: 'came faster than they were read',
  disk_full: 'the node had no space to store them',
  not_followed: 'of processes that the kernel had no space to follow',
  cut: 'with arguments that were cut',
  refused: 'were refused by the event log',
  unknown_session: 'came before the node knew their session',
  hole: 'were removed before the node service read them',
};

/** Describes a gap of kernel events. `open`: its end is unknown. */
export function gapText(why: string, count: number | null, open = false): string {
  const reason = gapReasons[why];
  if (reason !== undefined) return `${count ?? 'some'} ${count === 1 ? 'event' : 'events'} ${why === 'cut' ? '' : 'missing: '}${reason}`;
  return open || count === null ? 'events are missing from here on' : `${count} ${count === 1 ? 'event' : 'events'} missing`;
}
