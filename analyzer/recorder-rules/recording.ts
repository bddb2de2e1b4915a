/**
 * Findings from facts that only the recorder knows: missing parts, escapes from what is watched, forwarded connections, and large
 * amounts of data sent over the terminal. Tested in recording.test.ts.
 */
import type { EventRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { dataOf, happened, numberAt, perSession, recorderRule, seen } from './recorder-rule.js';

export const gapped = recorderRule(
  'recording-gapped',
  'A part of the recording is missing',
  'signal',
  'medium',
  ['T1685'],
  'Look at what was missed and for how long; compare it with other sources of that time.',
);
export const escaped = recorderRule(
  'escape-from-session',
  'Something outside the session was asked to run a program',
  'alert',
  'high',
  ['T1036.009', 'T1053'],
  'Find out what was asked for (the unit, job or container) and read it: what it runs is not in this recording.',
);
export const tunnelled = recorderRule(
  'forwarding-as-tunnel',
  'A forwarding was used as a tunnel',
  'alert',
  'medium',
  ['T1572'],
  'Ask what the forwarding was for; a role can forbid forwardings or name the addresses they may go to.',
);
const encodedOut = recorderRule(
  'data-over-terminal',
  'Data left over the terminal as encoded text',
  'alert',
  'high',
  ['T1048', 'T1132.001'],
  'Decode the lines from the recording to learn what left.',
);
const bulkOut = recorderRule(
  'bulk-over-terminal',
  'The terminal showed far more than a person reads',
  'signal',
  'low',
  ['T1048'],
  'Look at which command printed it, and whether the client could have kept it.',
);

const unechoedInput = recorderRule(
  'input-without-echo',
  'Much was sent to the terminal that it did not show',
  'signal',
  'low',
  ['T1105', 'T1059.004'],
  'The input is in the recording where the role keeps it: a file that was pasted, or a script for a program that reads silently.',
);

/** Gaps by design: a password that did not echo, input to a frozen session, a body over the role's limit. */
const expected = new Set(['input_not_echoed', 'input_discarded', 'body_limit', 'file_operations']);
const TUNNEL_BYTES = 50 * 2 ** 20;
const MAX_CHANNELS = 10_000;
const TUNNEL_CHANNELS = 200;
const ENCODED_LINES = 60;
const BULK_BYTES = 64 * 2 ** 20;
/** Lines of base64 or hex, as encoders print them. */
const encodedLine = /^(?:[A-Za-z0-9+/]{60,}={0,2}|[0-9a-fA-F]{60,}|M[\x20-\x60]{60})\s*$/;

class RecordingWatch implements SessionDetector {
  readonly #channels = new Set<number>();
  #opened = 0;
  #isForward = false;
  #bytes = 0;
  #encoded = 0;
  #inputs = 0;
  readonly #told = new Set<RuleFacts>();

  take(observation: Observation): readonly Detection[] {
    switch (observation.kind) {
      case 'event':
        return this.#event(observation.row);
      case 'screen':
        return this.#screen(observation.row);
      case 'end':
        return this.#end(observation.session);
      case 'start':
        this.#isForward = observation.session.kind === 'forward';
        return [];
    }
  }

  #event(row: EventRow): readonly Detection[] {
    switch (row.kind) {
      case 'gap':
        if (expected.has(row.reason)) return [];
        return [
          happened(
            gapped,
            [row],
            `${row.source === 'kernel' ? 'kernel events' : 'recording'}: ${row.reason}`,
            `${row.source} ${row.reason}`.slice(0, 200),
          ),
        ];
      case 'escape':
        return [
          happened(escaped, [row], `${row.reason}${row.path === '' ? '' : ` by ${row.path}`}`, `${row.reason} ${row.path}`.slice(0, 200)),
        ];
      case 'forward':
        return this.#forward(row);
      case 'stream':
        if (row.reason === 'unechoed') return this.#unechoed(row);
        // clipboard.ts handles the clipboard and pastes.
        return row.reason === '' ? this.#forward(row) : [];
      default:
        return [];
    }
  }

  #forward(row: EventRow): readonly Detection[] {
    const data = dataOf(row);
    const channel = numberAt(data, 'channel');
    if (row.kind === 'stream') {
      if (this.#isForward || (channel !== null && this.#channels.has(channel))) this.#bytes += row.size ?? 0;
    } else if (row.outcome === 'opened') {
      this.#opened += 1;
      if (channel !== null && this.#channels.size < MAX_CHANNELS) this.#channels.add(channel);
    }
    if (this.#opened < TUNNEL_CHANNELS && this.#bytes < TUNNEL_BYTES) return [];
    const reason = `${this.#opened} forwarded connections and ${Math.round(this.#bytes / 2 ** 20)} MiB by now`;
    return this.#once(tunnelled, () => happened(tunnelled, [row], reason, ''));
  }

  /** The recorder reports more than 1 KiB that the terminal did not echo. */
  #unechoed(row: EventRow): readonly Detection[] {
    const reason = `${row.size ?? 0} bytes went to a program without being shown`;
    return [happened(unechoedInput, [row], reason, `${this.#inputs++}`)];
  }

  #screen(row: ScreenRow): readonly Detection[] {
    if (!encodedLine.test(row.text)) return [];
    this.#encoded += 1;
    if (this.#encoded < ENCODED_LINES) return [];
    return this.#once(encodedOut, () => seen(encodedOut, row, `${ENCODED_LINES} lines of encoded text were shown`, ''));
  }

  #end(session: SessionRow): readonly Detection[] {
    if (!session.tty || session.bytes_out < BULK_BYTES) return [];
    const { user, node, login, ended_at, started_at } = session;
    const at = ended_at ?? started_at;
    const reason = `${Math.round(session.bytes_out / 2 ** 20)} MiB were printed`;
    return [
      {
        rule: bulkOut,
        reason,
        session: session.session,
        user,
        node,
        login,
        at,
        offset_ms: at - started_at,
        row: null,
        evidence: [],
        key: '',
      },
    ];
  }

  #once(rule: RuleFacts, detection: () => Detection): readonly Detection[] {
    if (this.#told.has(rule)) return [];
    this.#told.add(rule);
    return [detection()];
  }
}

export function recordingDetector(): Detector {
  return perSession('recording', [gapped, escaped, tunnelled, encodedOut, bulkOut, unechoedInput], () => new RecordingWatch());
}
