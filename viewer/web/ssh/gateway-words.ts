/**
 * The gateway's last message before it ends something, found at the end of the output. Hostile: show it as text only. Tested in
 * ../terminal/end.test.ts.
 */

export interface GatewayWords {
  /** A sentence without its full stop, and advice. */
  readonly what: string;
  readonly fix: string;
}

const KEPT = 2_048;

/** The last two lines of the gateway (`explain` in gateway/sessions/refusal.ts): the event with its code, and advice. */
export function gatewayWords(text: string): GatewayWords | null {
  const lines = text.split(/\r?\n/).flatMap((line) => /^steno: +(.{1,600})$/.exec(line.trimEnd())?.[1] ?? []);
  const at = lines.findLastIndex((line) => / \[[A-Z_]{3,40}\]$/.test(line));
  const what = lines[at];
  if (what === undefined) return null;
  return { what: capital(what.replace(/ \[[A-Z_]+\]$/, '')), fix: lines[at + 1] ?? '' };
}

/** Keeps the end of the output, where the gateway's last message is. */
export class LastWords {
  #bytes = new Uint8Array(0);

  take(bytes: Uint8Array): void {
    const added = bytes.subarray(-KEPT);
    const all = new Uint8Array(this.#bytes.length + added.length);
    all.set(this.#bytes);
    all.set(added, this.#bytes.length);
    this.#bytes = all.slice(-KEPT);
  }

  get text(): string {
    return new TextDecoder().decode(this.#bytes);
  }
}

export function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
