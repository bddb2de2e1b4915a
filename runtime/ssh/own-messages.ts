/**
 * Messages that ssh2's server has no function for, written with what ssh2 writes its own with.
 *
 * A banner of the moment (SSH_MSG_USERAUTH_BANNER, RFC 4252 section 5.4) is what an OpenSSH server does with the words of PAM:
 * ssh2 has one banner for everybody, at the beginning. A channel request of one's own is RFC 4254 section 5.4. Tested in
 * test/agent/admission.test.ts with stock ssh, and in test/agent/orders.test.ts.
 */
import type { Connection, ServerChannel } from 'ssh2';
import utils from 'ssh2/lib/protocol/utils.js';
import { SshWriter } from '#schemas/ssh/wire.js';

const USERAUTH_BANNER = 53;
const CHANNEL_REQUEST = 98;

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

/** What the server says beside `server-sig-algs` (RFC 8308): names and values in turn. To be called when the connection is there. */
export function setExtensions(client: Connection, extensions: readonly string[]): void {
  protocolOf(client)._extInfo = extensions;
}

/** `text`: printable lines. Before the answer to a request of authentication. */
export function sendAuthBanner(client: Connection, text: string): void {
  // No language.
  send(client, new SshWriter().byte(USERAUTH_BANNER).utf8(text).utf8('').bytes());
}

/** A request about a session's channel that wants no reply and carries one string. Nothing once the channel is over. */
export function sendChannelRequest(channel: ServerChannel, name: string, text: string): void {
  const { _client: client, outgoing } = channel as unknown as {
    readonly _client: Connection;
    readonly outgoing: { readonly id: number; readonly state: string };
  };
  if (channel.destroyed || !channel.writable || outgoing.state !== 'open') return;
  send(client, new SshWriter().byte(CHANNEL_REQUEST).uint32(outgoing.id).utf8(name).byte(0).utf8(text).bytes());
}
