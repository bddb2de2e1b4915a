/**
 * Clipboard writes and pastes on the user's terminal: OSC 52 and bracketed pastes, of which the recorder reports sizes and never
 * contents. Tested in clipboard.test.ts.
 */
import type { EventRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { dataOf, happened, numberAt, perSession, recorderRule } from './recorder-rule.js';

const clipboardBulk = recorderRule(
  'data-over-clipboard',
  'Much data left by the clipboard of the user’s terminal',
  'alert',
  'medium',
  ['T1048'],
  'Decode the OSC 52 sequences of the recording’s output to learn what left; a terminal can be told not to take them.',
);
const clipboardHides = recorderRule(
  'clipboard-with-hidden-text',
  'A program put text on the clipboard of which a part is not seen',
  'alert',
  'high',
  ['T1204.004'],
  'Warn the user not to paste it, and decode the sequence: control characters in it can run a command as soon as it is pasted.',
);
const clipboardAsked = recorderRule(
  'clipboard-asked-for',
  'A program asked the user’s terminal for its clipboard',
  'signal',
  'low',
  ['T1115'],
  'Find out which program asked; what a terminal answered is typed input of the session.',
);
const pasteStorm = recorderRule(
  'paste-storm',
  'Far more was put into the terminal at once than a person types',
  'signal',
  'medium',
  ['T1059.004', 'T1105'],
  'Look at what ran afterwards: a script or a file came in without a transfer. Echoed lines are in the recording.',
);

/** Editors copy pages of text; anything larger is a file. */
const ONE_WRITE_BYTES = 64 << 10;
const SESSION_BYTES = 256 << 10;
const PASTE_BYTES = 64 << 10;
const PASTE_LINES = 500;
/** This many pastes of more than 1 KiB within a minute. */
const STORM_PASTES = 10;
const STORM_MS = 60_000;

class ClipboardWatch implements SessionDetector {
  readonly #told = new Set<RuleFacts>();
  #written = 0;
  /** The most recent pastes, oldest first. */
  readonly #pastes: EventRow[] = [];

  take(observation: Observation): readonly Detection[] {
    if (observation.kind !== 'event' || observation.row.kind !== 'stream' || observation.row.source !== 'recording') return [];
    const { row } = observation;
    if (row.reason === 'clipboard') return row.outcome === 'read' ? this.#asked(row) : this.#wrote(row);
    return row.reason === 'paste' ? this.#pasted(row) : [];
  }

  #asked(row: EventRow): readonly Detection[] {
    return this.#once(clipboardAsked, [row], `asked ${times(row.count)}`);
  }

  #wrote(row: EventRow): readonly Detection[] {
    const data = dataOf(row);
    const largest = numberAt(data, 'largest') ?? row.size ?? 0;
    this.#written += row.size ?? 0;
    const hidden = data['hides'] === true ? this.#once(clipboardHides, [row], `${row.size ?? 0} bytes were put on the clipboard`) : [];
    if (largest < ONE_WRITE_BYTES && this.#written < SESSION_BYTES) return hidden;
    const reason = `${kib(this.#written)} were put on the clipboard by now, ${kib(largest)} of it in one piece`;
    return [...hidden, ...this.#once(clipboardBulk, [row], reason)];
  }

  #pasted(row: EventRow): readonly Detection[] {
    const at = row.offset_ms ?? 0;
    while (this.#pastes.length > 0 && (this.#pastes[0]!.offset_ms ?? 0) < at - STORM_MS) this.#pastes.shift();
    this.#pastes.push(row);
    const [size, lines] = [row.size ?? 0, row.count ?? 0];
    const how = dataOf(row)['bracketed'] === true ? 'as a paste' : 'as if typed';
    if (size >= PASTE_BYTES || lines >= PASTE_LINES)
      return this.#once(pasteStorm, [row], `${size} bytes in ${lines} lines came at once, ${how}`);
    if (this.#pastes.length < STORM_PASTES) return [];
    const sum = this.#pastes.reduce((bytes, one) => bytes + (one.size ?? 0), 0);
    const [first, ...more] = this.#pastes;
    return this.#once(pasteStorm, [first!, ...more], `${this.#pastes.length} pastes of ${sum} bytes came within a minute`);
  }

  #once(rule: RuleFacts, rows: readonly [EventRow, ...EventRow[]], reason: string): readonly Detection[] {
    if (this.#told.has(rule)) return [];
    this.#told.add(rule);
    return [happened(rule, rows, reason, '')];
  }
}

const kib = (bytes: number): string => `${Math.round(bytes / 1024)} KiB`;
const times = (count: number | null): string => (count === null || count === 1 ? 'once' : `${count} times within a second`);

export function clipboardDetector(): Detector {
  return perSession('clipboard', [clipboardBulk, clipboardHides, clipboardAsked, pasteStorm], () => new ClipboardWatch());
}
