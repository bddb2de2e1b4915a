/** What the gateway says last before it ends something, found at the end of what was printed. Hostile: shown as text alone. Tested in ../terminal/end.test.ts. */

export interface GatewayWords {
  /** A sentence without its full stop, and what to do. */
  readonly what: string;
  readonly fix: string;
}

const KEPT = 2_048;

/** The last two lines of the gateway (`explain` in gateway/sessions/refusal.ts): what happened with its code, and what to do. */
export function gatewayWords(text: string): GatewayWords | null {
  const lines = text.split(/\r?\n/).flatMap((line) => /^steno: +(.{1,600})$/.exec(line.trimEnd())?.[1] ?? []);
  const at = lines.findLastIndex((line) => / \[[A-Z_]{3,40}\]$/.test(line));
  const what = lines[at];
  if (what === undefined) return null;
  return { what: capital(what.replace(/ \[[A-Z_]+\]$/, '')), fix: lines[at + 1] ?? '' };
}

/** The end of what was printed: the gateway's last words are there. */
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
