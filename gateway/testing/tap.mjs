// Stands in for ssh: runs the command (or the sftp subsystem) on this machine and writes every byte of both directions
// to a log, before it is passed on. usage: node tap.mjs LOG [ssh options] host [command...]
// Log: records of u8 direction (0 what was asked for, as JSON; 1 client to node; 2 node to client), u32 length, bytes.
import { spawn } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';

const [log, ...args] = process.argv.slice(2);
let subsystem = false;
while (args.length > 0 && args[0].startsWith('-')) {
  const option = args.shift();
  if (option === '--') break;
  if (option === '-s') subsystem = true;
  else if (/^-[oplFiJ]$/.test(option)) args.shift();
}
args.shift();
const command = args.join(' ');
const file = openSync(log, 'a');
function record(direction, bytes) {
  const head = Buffer.alloc(5);
  head[0] = direction;
  head.writeUInt32BE(bytes.length, 1);
  writeSync(file, Buffer.concat([head, bytes]));
}
record(0, Buffer.from(JSON.stringify(subsystem ? { subsystem: command, tty: false } : { command, tty: false })));
const child = subsystem
  ? spawn('/usr/lib/openssh/sftp-server', { stdio: ['pipe', 'pipe', 'inherit'] })
  : spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit'] });
function pass(from, to, direction) {
  from.on('data', (bytes) => {
    record(direction, bytes);
    if (!to.write(bytes)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  });
  from.on('end', () => to.end());
  from.on('error', () => to.destroy());
  to.on('error', () => from.destroy());
}
pass(process.stdin, child.stdin, 1);
pass(child.stdout, process.stdout, 2);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
  process.stdin.destroy();
});
