/**
 * Tells a client something while it authenticates (SSH_MSG_USERAUTH_BANNER, RFC 4252, 5.4): what an OpenSSH server does
 * with the words of PAM. ssh2's server has one banner for everybody, at the beginning; this writes the message with what
 * ssh2 writes its own with. Tested in test/agent/admission.test.ts with stock ssh.
 */
import type { Connection } from 'ssh2';
import utils from 'ssh2/lib/protocol/utils.js';

const SSH_MSG_USERAUTH_BANNER = 53;

interface Protocol {
  readonly _packetRW: { readonly write: { readonly allocStart: number; alloc(length: number): Buffer; finalize(packet: Buffer): Buffer } };
}

/** `text`: printable lines. Before the answer to a request of authentication. */
export function sendAuthBanner(client: Connection, text: string): void {
  const { _protocol: protocol } = client as unknown as { readonly _protocol: Protocol };
  const { write } = protocol._packetRW;
  const words = Buffer.from(text, 'utf8');
  const start = write.allocStart;
  const packet = write.alloc(1 + 4 + words.length + 4);
  packet[start] = SSH_MSG_USERAUTH_BANNER;
  packet.writeUInt32BE(words.length, start + 1);
  words.copy(packet, start + 5);
  // No language.
  packet.writeUInt32BE(0, start + 5 + words.length);
  utils.sendPacket(protocol, write.finalize(packet));
}
