/**
 * Opens an `auth-agent@openssh.com` channel towards a client (OpenSSH PROTOCOL.agent, section 2): as a server does when a
 * program in a session uses the forwarded agent. ssh2's server can write the message but has no method for it; this uses the
 * two internals that its own `forwardOut` uses, the channel table and the protocol object.
 *
 * Tested in test/agent/agent.test.ts with stock `ssh -A`.
 */
import type { Connection, ServerChannel } from 'ssh2';

/** The window and packet size that ssh2 gives every channel it opens (ssh2 lib/Channel.js). */
const WINDOW = 2 << 20;
const PACKET = 32 << 10;

type Opened = ((error: Error | undefined, channel: ServerChannel) => void) & { type?: string };
interface ConnectionParts {
  readonly _chanMgr: { add(opened: Opened): number };
  readonly _protocol: { openssh_authAgent(channel: number, window: number, packet: number): void };
}

export function openAgentChannel(client: Connection, opened: (error: Error | undefined, channel: ServerChannel) => void): void {
  const { _chanMgr: channels, _protocol: protocol } = client as unknown as ConnectionParts;
  const callback: Opened = (error, channel) => opened(error, channel);
  callback.type = 'auth-agent@openssh.com';
  const number = channels.add(callback);
  if (number === -1) return opened(new Error('no free channel'), undefined as never);
  protocol.openssh_authAgent(number, WINDOW, PACKET);
}
