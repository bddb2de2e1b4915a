/**
 * How a gateway leads a participant to the gateway that holds the session: a WebSocket between the two, over TLS with certificates of
 * gateways on both sides, on the port where agents come in.
 *
 *     asking gateway → holder   JSON of a `RelayedJoin`: whom it is for, with what they signed for this session and mode
 *     holder → asking gateway   {kind: 'confirm', url, …}   the user needs a second factor; none, or one
 *                               {kind: 'ready'}             from here on binary messages, both ways
 *                               {kind: 'refused', code, …}  and it closes
 *     either way                one message of SSH's connection protocol (RFC 4254) each, as the client sends and gets it
 *     holder → asking gateway   {kind: 'disconnect', text}  with these words to the client
 *
 * The holder trusts the asking gateway in nothing that decides: it checks certificate, signature, roles and locks itself. It
 * believes the address of the client, and that the signature was made a moment ago; one signature counts once. SSH's windows bound
 * what waits on the way. Tested in gateway/ssh/server/relayed-join.test.ts
 * and test/end-to-end/sharing.test.ts.
 */
import { z } from 'zod';
import { MSG } from './numbers.js';
import { userProof } from '../api/services/certificates.js';
import { isErrorCode } from '../base/errors.js';
import { invitationPattern } from '../documents/session-invitation.js';
import { base64 } from '../endpoint/fields.js';
import { sessionIdPattern } from '../events/rows.js';
import { participantModes } from '../session-join.js';

export const SESSION_RELAY_PATH = '/v1/session-relay';
export const SESSION_RELAY_PROTOCOL = 'steno-session-relay';
/** Bytes of a message either way: more than a packet that is sent into a window of either side, and the request with its certificate. */
export const MAX_RELAY_MESSAGE = 256 << 10;

export const relayedJoin = z.strictObject({
  version: z.literal(1),
  session: z.string().regex(sessionIdPattern),
  mode: z.enum(participantModes),
  invitation: z.string().regex(invitationPattern).exactOptional(),
  user_certificate: base64(64, 90_000),
  proof: userProof,
  /** The client's address. */
  source_address: z.string().max(64),
});
export type RelayedJoin = z.output<typeof relayedJoin>;

export const relayAnswer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('confirm'), login: z.string().max(64), node: z.string().max(255), url: z.string().max(2048) }),
  z.strictObject({ kind: z.literal('ready') }),
  z.strictObject({
    kind: z.literal('refused'),
    code: z.string().max(64).refine(isErrorCode, 'is no code that this gateway knows'),
    detail: z.string().max(1024),
  }),
  z.strictObject({ kind: z.literal('disconnect'), text: z.string().max(4096) }),
]);
export type RelayAnswer = z.output<typeof relayAnswer>;

/** Types of messages that the client may be sent: answers to global requests, and what is about channels. */
export function isChannelMessage(type: number | undefined): boolean {
  return (
    type === MSG.requestSuccess ||
    type === MSG.requestFailure ||
    (type !== undefined && type >= MSG.channelOpen && type <= MSG.channelFailure)
  );
}

/** And those that it may send: global requests too. */
export function isClientMessage(type: number | undefined): boolean {
  return type === MSG.globalRequest || isChannelMessage(type);
}
