/**
 * Streams to a pod: exec, attach and port-forward, each recorded as a session.
 *
 *     upgrade ──understood, allowed──► slot ──► recording open ──► API server accepts ──► client accepted ──► relaying ──► over
 *        └──refused: an answer without upgrade     └──strict and impossible: refused    └──refuses: its answer is passed on
 *
 * The recording is open before the API server is asked, and bytes are in the spool before they are passed on. The connection ends
 * when either side ends, when a lock, roles or limits end it (the reason is the last line and the final Status), or when a strict
 * recording fails. Back-pressure works in both directions. Tested in test/kube/ with the real kubectl, and in streaming.test.ts.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { asStenoError } from '../sessions/refusal.js';
import type { StreamingDeps } from './attempt.js';
import { commandWanted, runCommand } from './command-stream.js';
import type { CommandWanted } from './command-stream.js';
import { forwardWanted, runForward } from './port-forward.js';
import type { ForwardWanted } from './port-forward.js';
import { confirmed, enter, understand } from './proxy.js';
import type { CertifiedUser } from '#runtime/http/x509-user.js';
import { assertWholeHead } from './requests/headers.js';
import { Counts, requestEvent } from './requests/request-event.js';
import type { Entered, Understood } from './requests/request.js';
import { refuseUpgrade } from './requests/status.js';

export async function streamRequest(
  deps: StreamingDeps,
  user: CertifiedUser,
  source: string,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  let entered: Entered | undefined;
  let understood: Understood | undefined;
  let refusal: StenoError | undefined;
  let mfa: string | undefined;
  let recording: { readonly session: string; close(): Promise<void> } | undefined;
  const counts = new Counts();
  const state: { ended?: StenoError; told?: (error: StenoError) => void } = {};
  const end = (error: StenoError): void => {
    state.ended ??= error;
    state.told?.(error);
  };
  const stopIfEnded = (): void => {
    if (state.ended !== undefined) throw state.ended;
  };
  try {
    assertWholeHead(request);
    understood = understand(request.method ?? '', request.url ?? '');
    entered = enter(deps, user, source, understood, end);
    const wanted = wantedBy(entered, request);
    mfa = await confirmed(deps, user, source, entered);
    stopIfEnded();
    const slot = deps.slots.take(user.identity.user, entered.authorized.terms!.limits.maxSessions);
    entered.access.hold(slot);
    if (slot.granted !== undefined) await slot.granted;
    const upstream = await deps.upstreams.of(entered.authorized.cluster);
    stopIfEnded();
    const attempt = {
      ...{ deps, user, source, request, socket, head, entered, upstream, counts, stopIfEnded, end },
      onEnd(told: (error: StenoError) => void) {
        state.told = told;
        if (state.ended !== undefined) told(state.ended);
      },
      recorded(open: NonNullable<typeof recording>) {
        recording = open;
      },
    };
    await (wanted.kind === 'command' ? runCommand(attempt, wanted) : runForward(attempt, wanted));
    refusal = state.ended;
  } catch (error) {
    refusal = state.ended ?? asStenoError(error);
    refuseUpgrade(socket, refusal);
  } finally {
    entered?.access.leave();
    if (recording !== undefined) deps.track(recording.close());
    const facts = { user, source, method: request.method ?? '', userAgent: request.headers['user-agent'] ?? '' };
    deps.recorder.event(
      requestEvent(
        { ...facts, understood, entered, mfa, error: refusal, ...(recording === undefined ? {} : { session: recording.session }) },
        counts.now(),
      ),
    );
  }
}

/** Throws KUBE_REQUEST_REFUSED, KUBE_UNSUPPORTED. */
function wantedBy({ target }: Entered, request: IncomingMessage): CommandWanted | ForwardWanted {
  const asked = target.kind === 'resource' && target.request.resource === 'pods' && target.request.group === '' ? target.request : null;
  const subresource = asked?.namespace == null ? null : asked.subresource;
  if (subresource === 'exec' || subresource === 'attach') return commandWanted(subresource, target.query, request);
  if (subresource === 'portforward') return forwardWanted(target.query, request);
  throw new StenoError('KUBE_REQUEST_REFUSED', 'an upgrade where there is none');
}
