/**
 * `node reach.js GATEWAY PORT NODE`: the ProxyCommand of `Host *.steno` (home.ts) where `nc -F` is missing.
 *
 * Asks the gateway for the node (HTTP CONNECT) and hands the socket to `ssh`, which then speaks to the gateway itself: no
 * byte of the session passes through here, and there is one SSH connection instead of the two of ProxyJump. Handing over
 * is what Node does between its own processes (a file descriptor beside the first byte of a message), and what OpenSSH
 * expects with ProxyUseFdpass. Without that, as in clients that only know ProxyCommand, it carries the bytes.
 *
 * Imports nothing of Steno: its time to start is added to every connection. Tested in test/end-to-end/spine.test.ts.
 */
import { connect } from 'node:net';

const [host = '', port = '', node = ''] = process.argv.slice(2);
const fail = (why: string): never => {
  process.stderr.write(`steno: ${why}\n`);
  process.exit(255);
};
const socket = connect({ host, port: Number(port), noDelay: true });
socket.once('error', (error: NodeJS.ErrnoException) =>
  fail(`the gateway at ${host}:${port} does not answer (${error.code ?? error.message})`),
);
socket.once('connect', () => socket.write(`CONNECT ${node}:22 HTTP/1.1\r\nHost: ${node}\r\n\r\n`));

let answer = Buffer.alloc(0);
const answered = (chunk: Buffer): void => {
  answer = Buffer.concat([answer, chunk]);
  const end = answer.indexOf('\r\n\r\n');
  if (end < 0) {
    if (answer.length > 4096) fail(`${host}:${port} is not a Steno gateway`);
    return;
  }
  socket.off('data', answered);
  socket.pause();
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer.toString('latin1'))?.[1];
  if (status !== '200') fail(status === undefined ? `${host}:${port} is not a Steno gateway` : `the gateway refuses "${node}" (${status})`);
  const early = answer.subarray(end + 4);
  if (process.send === undefined) {
    socket.unshift(early);
    process.stdin.pipe(socket).pipe(process.stdout);
    socket.once('close', () => process.exit(0));
  } else if (early.length > 0) {
    // `ssh` could not be given these. The gateway waits seconds before it speaks first.
    fail('the gateway spoke too early; try again');
  } else {
    process.send('socket', socket, {}, (error) => (error === null ? process.exit(0) : fail(error.message)));
  }
};
socket.on('data', answered);
socket.once('end', () => fail('the gateway closed the connection'));
