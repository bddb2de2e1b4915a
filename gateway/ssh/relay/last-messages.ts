/** The last messages of a session that the gateway itself ends. Tested in ../server/gateway.test.ts. */
import { message } from '../transport/messages.js';

/** The exit status of `ssh` when a connection fails. */
const FAILURE_STATUS = 255;

/** Ends a session on the client's side: text (as far as its window allows), status 255, end, close. */
export function lastMessages(
  clientId: number,
  window: number,
  tty: boolean,
  lines: readonly string[],
): { readonly text: Buffer; readonly messages: readonly Uint8Array[] } {
  const text = Buffer.from(tty ? `\r\n${lines.join('\r\n')}\r\n` : `${lines.join('\n')}\n`).subarray(0, Math.max(0, window));
  const words = text.length === 0 ? [] : [tty ? message.data(clientId, text) : message.errorData(clientId, text)];
  return { text, messages: [...words, message.exitStatus(clientId, FAILURE_STATUS), message.eof(clientId), message.close(clientId)] };
}
