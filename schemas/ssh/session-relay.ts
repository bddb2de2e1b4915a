/**
 * How a gateway relays a participant to the gateway that holds the session: a WebSocket between the two, over TLS with certificates of
 * gateways on both sides, on the port to which agents connect.
 *
 *     asking gateway → holder   JSON of a `RelayedJoin`: the user, with their signature for this session and mode
 *     holder → asking gateway   {kind: 'confirm', url, …}   the user needs a second factor; at most one such message
 *                               {kind: 'ready'}             from here on binary messages, in both directions
 *                               {kind: 'refused', code, …}  and it closes
 *     either way                one message of SSH's connection protocol (RFC 4254) each, as the client sends and gets it
 *     holder → asking gateway   {kind: 'disconnect', text}  to disconnect the client with this text
 *
 * The holder does not rely on the asking gateway for its decision: it checks certificate, signature, roles and locks itself. It trusts
 * only the client's address, and that the signature was made a moment ago; each signature is valid once. SSH's windows bound the data
 * in transit. Tested in gateway/ssh/server/relayed-join.test.ts and test/end-to-end/sharing.test.ts.
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
/** Most bytes of a message in either direction: more than any packet, and more than the request with its certificate. */
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
    code: z.string().max(64).refine(isErrorCode, 'is not a code that this gateway knows'),
    detail: z.string().max(1024),
  }),
  z.strictObject({ kind: z.literal('disconnect'), text: z.string().max(4096) }),
]);
export type RelayAnswer = z.output<typeof relayAnswer>;

/** Whether the client may be sent a message of this type: replies to global requests, and messages about channels. */
export function isChannelMessage(type: number | undefined): boolean {
  return (
    type === MSG.requestSuccess ||
    type === MSG.requestFailure ||
    (type !== undefined && type >= MSG.channelOpen && type <= MSG.channelFailure)
  );
}

/** Whether the client may send a message of this type: also global requests. */
export function isClientMessage(type: number | undefined): boolean {
  return type === MSG.globalRequest || isChannelMessage(type);
}
