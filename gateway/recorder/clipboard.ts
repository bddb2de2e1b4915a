/**
 * Detects programs that read or set the clipboard of the user's terminal, by OSC 52 in terminal output.
 *
 *     text ──ESC ]52; or U+009D 52;──► selection ──;──► content ──BEL, ESC \, U+009C──► fact
 *       ▲                                 └──────────────────┴── CAN, SUB, another ESC, no `;` ──┐
 *       └────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Sequences that tmux and screen wrap to pass them on are recognized too. A fact has the decoded length, and whether the content
 * holds anything that stays invisible when it is pasted: control characters, bidirectional overrides, zero-width characters. It never
 * has the content, which is in the output anyway, nor a digest, from which short content could be guessed. Everything within one
 * second becomes one fact, so that no program can fill a recording with facts. At most `HELD` characters are held.
 *
 * An aid, not a boundary: terminals disagree about what a sequence is, and screen splits long ones into pieces, of which only the
 * first is understood. Tested in clipboard.test.ts.
 */
import type { ClipboardFact } from '#schemas/recording/line.js';

const ESC = 0x1b;
const introducers = [Buffer.from('\x1b]52;'), Buffer.from('\u009d52;')];
const MAX_SELECTION = 32;
/** Base64 characters decoded at a time; a multiple of 4. */
const HELD = 65_536;
const TOGETHER_MS = 1_000;
const unseen = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u;

type Action = ClipboardFact['action'];

export class ClipboardWatch {
  /** The last bytes shown, if an introducer may begin with them. */
  #begun: Buffer = nothing;
  #selection: string | null = null;
  #content: Content | null = null;
  /** An ESC, or the first byte of U+009C, if it was the last byte shown. */
  #ending: number | null = null;
  readonly #told = new Map<Action, number>();
  readonly #waiting = new Map<Action, ClipboardFact>();

  /** Session time in ms at which `due` has facts to return. */
  get dueAt(): number {
    let at = Infinity;
    for (const action of this.#waiting.keys()) at = Math.min(at, this.#told.get(action)! + TOGETHER_MS);
    return at;
  }

  /** Takes output to the user; returns the facts that are due. */
  shown(bytes: Buffer, now: number): readonly ClipboardFact[] {
    const facts = this.#waiting.size === 0 ? [] : [...this.due(now)];
    let [rest, at] = [this.#joined(bytes), 0];
    let found = new Introducers(rest);
    for (;;) {
      if (this.#selection === null) {
        const begins = found.after(at);
        if (begins < 0) {
          this.#begun = begunAt(rest.subarray(at));
          return facts;
        }
        at = begins;
        this.#selection = '';
      }
      at = this.#sequence(rest, at, now, facts);
      if (at < 0) return facts;
      if (this.#begun.length === 0) continue;
      [rest, at] = [this.#joined(rest.subarray(at)), 0];
      found = new Introducers(rest);
    }
  }

  /** Returns the facts whose second is over. */
  due(now: number): readonly ClipboardFact[] {
    return [...this.#waiting].flatMap(([action, fact]) => {
      if (now < this.#told.get(action)! + TOGETHER_MS) return [];
      this.#waiting.delete(action);
      this.#told.set(action, now);
      return [fact];
    });
  }

  /** Ends the session: returns every fact still waiting. */
  end(): readonly ClipboardFact[] {
    const facts = [...this.#waiting.values()];
    this.#waiting.clear();
    return facts;
  }

  #joined(bytes: Buffer): Buffer {
    const begun = this.#begun;
    this.#begun = nothing;
    return begun.length === 0 ? bytes : Buffer.concat([begun, bytes]);
  }

  /** Returns where the sequence that continues at `start` ends, or -1 if it continues past these bytes. */
  #sequence(bytes: Buffer, start: number, now: number, facts: ClipboardFact[]): number {
    let from = start;
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (this.#ending !== null) {
        const isSelf = this.#ending === ESC;
        // Inside tmux's wrapper each ESC is doubled.
        if (isSelf && byte === ESC) continue;
        const isOver = byte === (isSelf ? 0x5c : 0x9c);
        if (isOver) this.#over(now, facts);
        this.#leave();
        if (isOver) return at + 1;
        // Another sequence may begin with the same ESC.
        if (isSelf && at > 0) return at - 1;
        if (isSelf) this.#begun = Buffer.of(ESC);
        return at;
      }
      const ends = byte === 0x07 || byte === ESC || byte === 0xc2 || byte === 0x18 || byte === 0x1a;
      if (!ends && this.#content === null) {
        if (byte === 0x3b) this.#content = new Content();
        else if (this.#selection!.length < MAX_SELECTION && byte > 0x20 && byte < 0x7f) this.#selection += String.fromCharCode(byte);
        else {
          this.#leave();
          return at;
        }
        from = at + 1;
        continue;
      }
      if (!ends) continue;
      this.#content?.add(bytes.toString('latin1', from, at));
      if (byte === ESC || byte === 0xc2) {
        this.#ending = byte;
        continue;
      }
      if (byte === 0x07) this.#over(now, facts);
      this.#leave();
      return at + 1;
    }
    if (this.#ending === null) this.#content?.add(bytes.toString('latin1', from));
    return -1;
  }

  #over(now: number, facts: ClipboardFact[]): void {
    const content = this.#content;
    if (content === null) return;
    const { asks, bytes, hides } = content.end();
    if (!asks && bytes === 0) return;
    const action = asks ? 'read' : 'write';
    const fact: ClipboardFact = { fact: 'clipboard', action, selection: this.#selection!, count: 1, bytes, largest: bytes, hides };
    const told = this.#told.get(action);
    const before = this.#waiting.get(action);
    if (told === undefined || (before === undefined && now >= told + TOGETHER_MS)) {
      this.#told.set(action, now);
      facts.push(fact);
      return;
    }
    this.#waiting.set(
      action,
      before === undefined
        ? fact
        : {
            ...before,
            count: before.count + 1,
            bytes: before.bytes + bytes,
            largest: Math.max(before.largest, bytes),
            hides: before.hides || hides,
          },
    );
  }

  #leave(): void {
    this.#selection = this.#content = this.#ending = null;
  }
}

/** Decodes the base64 of one sequence piece by piece. */
class Content {
  #held = '';
  #first = '';
  #bytes = 0;
  #hides = false;
  readonly #text = new TextDecoder('utf-8', { ignoreBOM: true });

  add(text: string): void {
    if (text === '') return;
    if (this.#first === '') this.#first = text.slice(0, 2);
    else if (this.#first.length === 1) this.#first += text[0]!;
    this.#held += text;
    for (; this.#held.length >= HELD; this.#held = this.#held.slice(HELD)) this.#decode(this.#held.slice(0, HELD), true);
  }

  end(): { readonly asks: boolean; readonly bytes: number; readonly hides: boolean } {
    if (this.#first === '?') return { asks: true, bytes: 0, hides: false };
    this.#decode(this.#held, false);
    return { asks: false, bytes: this.#bytes, hides: this.#hides };
  }

  #decode(base64: string, more: boolean): void {
    const bytes = Buffer.from(base64, 'base64');
    this.#bytes += bytes.length;
    this.#hides ||= unseen.test(this.#text.decode(bytes, { stream: more }));
  }
}

const nothing: Buffer = Buffer.alloc(0);

/** Finds where introducers end in these bytes. Scans once per kind of introducer, however many sequences there are. */
class Introducers {
  readonly #bytes: Buffer;
  readonly #next = introducers.map(() => -1);

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Returns the end of the first introducer that begins at `from` or later, or -1. */
  after(from: number): number {
    let first = Infinity;
    for (const [i, intro] of introducers.entries()) {
      if (this.#next[i]! < from) {
        const at = this.#bytes.indexOf(intro, from);
        this.#next[i] = at < 0 ? Infinity : at;
      }
      first = Math.min(first, this.#next[i]! + intro.length);
    }
    return first === Infinity ? -1 : first;
  }
}

/** Returns the longest suffix of these bytes that an introducer may begin with. */
function begunAt(bytes: Buffer): Buffer {
  for (let length = Math.min(4, bytes.length); length > 0; length--) {
    const end = bytes.subarray(bytes.length - length);
    if (introducers.some((intro) => length < intro.length && intro.subarray(0, length).equals(end))) return Buffer.from(end);
  }
  return nothing;
}
