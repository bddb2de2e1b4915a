/**
 * Messages that ssh2's server has no function for, written with ssh2's own packet writer.
 *
 * An OpenSSH server sends text from PAM as a banner during authentication (SSH_MSG_USERAUTH_BANNER, RFC 4252 section 5.4),
 * whereas ssh2 has one fixed banner at the beginning. Private channel requests are defined in RFC 4254 section 5.4. Tested
 * in test/agent/admission.test.ts with stock ssh, and in test/agent/orders.test.ts.
 */
import type { Connection, ServerChannel } from 'ssh2';
import utils from 'ssh2/lib/protocol/utils.js';
import { MSG } from '#schemas/ssh/numbers.js';
import { SshWriter } from '#schemas/ssh/wire.js';

interface Protocol {
  _extInfo: readonly string[];
  readonly _packetRW: { readonly write: { readonly allocStart: number; alloc(length: number): Buffer; finalize(packet: Buffer): Buffer } };
}
const protocolOf = (client: Connection): Protocol => (client as unknown as { readonly _protocol: Protocol })._protocol;

function send(client: Connection, payload: Uint8Array): void {
  const protocol = protocolOf(client);
  const { write } = protocol._packetRW;
  const start = write.allocStart;
  const packet = write.alloc(payload.length);
  packet.set(payload, start);
  utils.sendPacket(protocol, write.finalize(packet));
}

/**
 * Sets the server's EXT_INFO entries besides `server-sig-algs` (RFC 8308): alternating names and values. Call it as soon as
 * the connection exists.
 */
export function setExtensions(client: Connection, extensions: readonly string[]): void {
  protocolOf(client)._extInfo = extensions;
}

/** `text`: printable lines. Must be sent before the answer to an authentication request. */
export function sendAuthBanner(client: Connection, text: string): void {
  // Empty language tag.
  send(client, new SshWriter().byte(MSG.userauthBanner).utf8(text).utf8('').bytes());
}

/** Sends a channel request without reply that carries one string. Does nothing once the channel has ended. */
export function sendChannelRequest(channel: ServerChannel, name: string, text: string): void {
  const { _client: client, outgoing } = channel as unknown as {
    readonly _client: Connection;
    readonly outgoing: { readonly id: number; readonly state: string };
  };
  if (channel.destroyed || !channel.writable || outgoing.state !== 'open') return;
  send(client, new SshWriter().byte(MSG.channelRequest).uint32(outgoing.id).utf8(name).byte(0).utf8(text).bytes());
}
