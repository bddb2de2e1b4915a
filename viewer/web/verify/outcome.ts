/** What verifying a recording came to, as the page shows it, and what the worker that does it is told and tells. */
import type { Verdict } from '#schemas/recording/verify.js';

export interface VerifyOrder {
  readonly file: ArrayBuffer;
  readonly cas: readonly string[];
  /** The session that was asked for: a good recording of another one is not it. */
  readonly session: string;
}

export type Outcome =
  | {
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
      /** Keyframes, which seeking draws: the page has no terminal to check them with. */
      readonly keyframes: number;
    }
  /** `code` in the words of the catalogue; `block`: the first bad or missing one; `goodUntil`: ms of session time. */
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly message: string;
      readonly detail: string;
      readonly block: number | null;
      readonly goodUntil: number;
    };

export type WorkerSays =
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  | { readonly kind: 'failed'; readonly reason: string };

/** `message`: of the error catalogue. */
export function outcomeOf(verdict: Verdict, session: string, message: (code: string) => string): Outcome {
  if (!verdict.ok) {
    const { code, detail, block, goodUntil } = verdict;
    return { kind: 'refused', code, message: message(code), detail, block, goodUntil };
  }
  const {
    header: { steno },
    checkpoint,
    blocks,
    bytes,
    duration,
    keyframes,
  } = verdict;
  if (steno.session !== session) {
    return {
      kind: 'refused',
      code: 'VERIFY_ALTERED',
      message: message('VERIFY_ALTERED'),
      detail: `it is a good recording, but of session ${steno.session}`,
      block: null,
      goodUntil: 0,
    };
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
    startedAt: steno.started_at,
    signedAt: checkpoint.time,
    end: checkpoint.end,
    head: checkpoint.head,
  };
}
