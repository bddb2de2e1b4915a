/**
 * Maps a participant's keys to commands of the gateway, with one table per mode, and tells which keys go to the session.
 *
 * Observers, moderators and the session's owner at a second terminal type nothing into the session, so each key is a command. A peer's
 * keys go to the session, except `PREFIX` and the key after it. The key `c` begins a message to everybody in the session:
 *
 *     keys ──"c"──► writing ──Enter──► said ──► keys
 *                      └──ESC, Ctrl-C──► keys
 *
 * Tested in commands.test.ts.
 */
import type { ParticipantMode } from '#schemas/session-join.js';
import type { InputToken } from './terminal-input.js';

export type Command = 'leave' | 'redraw' | 'pause' | 'resume' | 'end' | 'help' | 'hand' | 'take' | 'refuse' | 'prove';

/** Ctrl-]: no shell or editor needs it often. */
export const PREFIX = 0x1d;
/** Maximum bytes of a draft message; further input is ignored. */
const MAX_DRAFT = 400;

const [CTRL_C, CTRL_D, CTRL_L, CTRL_U, ESC, BACKSPACE, DELETE] = [0x03, 0x04, 0x0c, 0x15, 0x1b, 0x08, 0x7f];
const [LF, CR] = [0x0a, 0x0d];
const key = (letter: string): number => letter.charCodeAt(0);
const CHAT = key('c');

const observing: ReadonlyMap<number, Command> = new Map<number, Command>([
  [key('q'), 'leave'],
  [CTRL_C, 'leave'],
  [CTRL_D, 'leave'],
  [CTRL_L, 'redraw'],
  [key('v'), 'prove'],
]);
const moderating: ReadonlyMap<number, Command> = new Map<number, Command>([
  ...observing,
  [key('p'), 'pause'],
  [key('r'), 'resume'],
  [key('t'), 'end'],
]);
const owning: ReadonlyMap<number, Command> = new Map<number, Command>([
  ...observing,
  [key('h'), 'hand'],
  [key('b'), 'take'],
  [key('x'), 'refuse'],
]);
/** Keys after the prefix. */
const typing: ReadonlyMap<number, Command> = new Map<number, Command>([
  [key('q'), 'leave'],
  [key('l'), 'redraw'],
  [key('v'), 'prove'],
]);
const tables = { observer: observing, moderator: moderating, owner: owning, peer: typing } as const;

export type Did =
  | Command
  | { readonly typed: Buffer }
  /** The draft message as it stands; null: abandoned. */
  | { readonly draft: string | null }
  /** A finished message, not yet sanitized. */
  | { readonly said: string };

export class CommandKeys {
  readonly #mode: ParticipantMode;
  #prefixed = false;
  #draft: number[] | null = null;

  constructor(mode: ParticipantMode) {
    this.#mode = mode;
  }

  /** Returns the participant's actions in order. */
  take(tokens: readonly InputToken[]): readonly Did[] {
    const did: Did[] = [];
    for (const token of tokens) {
      if (token.kind === 'size') continue;
      const { kind, bytes } = token;
      if (this.#draft !== null && kind === 'sequence') {
        // ESC by itself abandons the message; arrows and other sequences do nothing.
        if (bytes.length === 1 && bytes[0] === ESC) did.push(this.#end());
        continue;
      }
      if (kind === 'sequence') {
        this.#prefixed = false;
        did.push(this.#mode === 'peer' ? { typed: bytes } : 'help');
        continue;
      }
      let at = 0;
      while (at < bytes.length) {
        if (this.#draft !== null) at = this.#write(bytes, at, did);
        else at = this.#mode === 'peer' ? this.#type(bytes, at, did) : this.#press(bytes, at, did);
      }
    }
    return did;
  }

  /** Handles the keys up to the one that begins a message; returns the offset at which to continue. */
  #press(bytes: Buffer, from: number, did: Did[]): number {
    // In pasted text, at most the first eight keys are taken as commands.
    for (let at = from; at < Math.min(bytes.length, from + 8); at++) {
      if (bytes[at] === CHAT) {
        this.#begin(did);
        return at + 1;
      }
      did.push(tables[this.#mode].get(bytes[at]!) ?? 'help');
    }
    return bytes.length;
  }

  #type(bytes: Buffer, from: number, did: Did[]): number {
    let start = from;
    for (let at = from; at < bytes.length; at++) {
      if (this.#prefixed) {
        this.#prefixed = false;
        start = at + 1;
        if (bytes[at] === CHAT) {
          this.#begin(did);
          return start;
        }
        did.push(bytes[at] === PREFIX ? { typed: Buffer.of(PREFIX) } : (typing.get(bytes[at]!) ?? 'help'));
      } else if (bytes[at] === PREFIX) {
        if (at > start) did.push({ typed: bytes.subarray(start, at) });
        start = at + 1;
        this.#prefixed = true;
      }
    }
    if (start < bytes.length) did.push({ typed: bytes.subarray(start) });
    return bytes.length;
  }

  #begin(did: Did[]): void {
    this.#draft = [];
    did.push({ draft: '' });
  }

  #end(): Did {
    this.#draft = null;
    return { draft: null };
  }

  #write(bytes: Buffer, from: number, did: Did[]): number {
    const draft = this.#draft!;
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === CR || byte === LF || byte === CTRL_C) {
        const said = textOf(draft);
        did.push(this.#end());
        if (byte !== CTRL_C && said.trim() !== '') did.push({ said });
        return at + 1;
      }
      if (byte === CTRL_U) draft.length = 0;
      else if (byte === BACKSPACE || byte === DELETE) {
        // Removes a whole UTF-8 character.
        while (draft.length > 0 && (draft.at(-1)! & 0xc0) === 0x80) draft.pop();
        draft.pop();
      } else if (byte >= 0x20 && draft.length < MAX_DRAFT) draft.push(byte);
    }
    did.push({ draft: textOf(draft) });
    return bytes.length;
  }
}

function textOf(bytes: readonly number[]): string {
  return Buffer.from(bytes).toString();
}

/** The help line of a participant. `whose`: printable. `goesBack`: the participant's client can go back in the recording. */
export function helpOf(mode: ParticipantMode, whose: string, goesBack = false): string {
  switch (mode) {
    case 'observer':
      return `steno: you watch ${whose} - ${goesBack ? 'space goes back, ' : ''}c says something, q leaves, Ctrl-L redraws`;
    case 'peer':
      return `steno: you type into ${whose} - Ctrl-] q leaves, Ctrl-] c says something, Ctrl-] l redraws`;
    case 'moderator':
      return `steno: you moderate ${whose} - p pauses, r resumes, t ends it, c says something, q leaves`;
    case 'owner':
      return 'steno: your session - h hands the keyboard over, b takes it back, x refuses peers, c says something, q leaves';
  }
}
