/** The outcome of verifying a recording and its event log, as the page shows it, and the messages to and from the worker. */
import type { Verdict } from '#schemas/recording/verify.js';

/** The recording comes first. A log is checked against the last recording that was found good; `file` null: the server has none. */
export type VerifyOrder =
  | {
      readonly kind: 'recording';
      readonly file: ArrayBuffer;
      readonly cas: readonly string[];
      /** The requested session: a good recording of another session is not accepted. */
      readonly session: string;
    }
  | { readonly kind: 'log'; readonly file: ArrayBuffer | null };

export type Outcome = Verified | Refused;

export interface Verified {
  readonly kind: 'verified';
  readonly who: string;
  readonly gateway: string;
  readonly counter: number;
  readonly blocks: number;
  readonly bytes: number;
  readonly duration: number;
  readonly startedAt: number;
  readonly signedAt: number;
  readonly end: string;
  readonly head: string;
  /** Number of keyframes, which seeking draws: the page has no terminal to check them with. */
  readonly keyframes: number;
  /** Whether the recording says that kernel events were signed alongside. */
  readonly logged: boolean;
}

/** `code`: explained by the catalogue. `block`: the first bad or missing one. `goodUntil`: ms of session time. */
export interface Refused {
  readonly kind: 'refused';
  readonly code: string;
  readonly message: string;
  readonly detail: string;
  readonly block: number | null;
  readonly goodUntil: number;
}

export type LogOutcome =
  { readonly kind: 'verified'; readonly blocks: number; readonly bytes: number; readonly signedAt: number; readonly end: string } | Refused;

export type WorkerSays =
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'recording'; readonly outcome: Outcome }
  /** `unfinished`: no fault so far, and the rest may still arrive. */
  | { readonly kind: 'log'; readonly outcome: LogOutcome | null; readonly unfinished: boolean }
  | { readonly kind: 'failed'; readonly reason: string };

/** Looks up `message` in the error catalogue. */
type MessageOf = (code: string) => string;

export function outcomeOf(verdict: Verdict, session: string, message: MessageOf): Outcome {
  if (!verdict.ok) return refused(verdict, message);
  const {
    header: { steno },
    checkpoint,
    blocks,
    bytes,
    duration,
    keyframes,
    logged,
  } = verdict;
  if (steno.session !== session || steno.stream !== undefined) {
    const detail =
      steno.session === session ? 'it is the event log of this session' : `it is a good recording, but of session ${steno.session}`;
    return refused({ code: 'VERIFY_ALTERED', detail, block: null, goodUntil: 0 }, message);
  }
  return {
    kind: 'verified',
    who: `${steno.user} as ${steno.login}@${steno.node}`,
    gateway: steno.gateway,
    counter: steno.counter,
    blocks,
    bytes,
    duration,
    keyframes,
    logged,
    startedAt: steno.started_at,
    signedAt: checkpoint.time,
    end: checkpoint.end,
    head: checkpoint.head,
  };
}

export function logOutcomeOf(verdict: Verdict | null, message: MessageOf): LogOutcome | null {
  if (verdict === null) return null;
  if (!verdict.ok) return refused(verdict, message);
  const { blocks, bytes, checkpoint } = verdict;
  return { kind: 'verified', blocks, bytes, signedAt: checkpoint.time, end: checkpoint.end };
}

type Bad = Pick<Extract<Verdict, { readonly ok: false }>, 'code' | 'detail' | 'block' | 'goodUntil'>;

function refused({ code, detail, block, goodUntil }: Bad, message: MessageOf): Refused {
  return { kind: 'refused', code, message: message(code), detail, block, goodUntil };
}
