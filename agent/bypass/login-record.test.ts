/** Records as the kernel writes them, and the events made from them. */
import { expect, test } from 'vitest';
import { freeRow } from '#schemas/events/free-rows.js';
import { freeEventRows } from '#runtime/uplink/free-event-rows.js';
import { loginEvent, lostLogins } from './login-event.js';
import { LOGIN_BYTES, readLogin } from './login-record.js';
import { addressOf } from './quiet-logins.js';

interface Wish {
  readonly door: string;
  readonly argv?: Buffer;
  readonly environment?: Buffer;
}

function bytesOf({ door, argv = Buffer.from('sh\0-c\0id\0'), environment = Buffer.from('') }: Wish): Buffer {
  const bytes = Buffer.alloc(LOGIN_BYTES);
  bytes.writeBigUInt64LE(5_000_000n, 0);
  for (const [at, value] of [[8, 41], [12, 40], [16, 1000], [20, argv.length], [24, environment.length], [28, 2]] as const) bytes.writeUInt32LE(value, at); // prettier-ignore
  bytes.write(`${door}\0`, 32);
  bytes.write('/bin/sh\0', 48);
  argv.copy(bytes, 304);
  environment.copy(bytes, 1328);
  return bytes;
}

const at = 1_800_000_000_000;
const event = (wish: Wish) => loginEvent(readLogin(bytesOf(wish))!, 'ada', at);

test('a login by ssh has the address that it came from', () => {
  const environment = Buffer.from('USER=ada\0AWS_SECRET=hidden\0SSH_CONNECTION=2001:db8::7 50123 10.0.0.1 22\0SSH_TTY=/dev/pts/3\0');
  expect(event({ door: 'sshd-session', environment })).toEqual({
    kind: 'login', user: '', login: 'ada', at, name: 'sshd', path: '/bin/sh', outcome: 'success', reason: '', address: '2001:db8::7', port: 50123,
    data: JSON.stringify({ door: 'sshd-session', pid: 41, door_pid: 40, uid: 1000, argv: ['sh', '-c', 'id'], tty: '/dev/pts/3' }),
  }); // prettier-ignore
});

test('su keeps the environment of whoever calls it, and the address is not its own', () => {
  const environment = Buffer.from('SSH_CONNECTION=10.1.1.1 50123 10.0.0.1 22\0');
  expect(event({ door: 'su', environment })).toMatchObject({ name: 'su', address: '', port: null });
});

test('every door has a name', () => {
  const names = ['sshd', 'sshd-session', 'dropbear', 'login', 'sulogin', 'su', 'cron', 'crond'].map((door) => event({ door }).name);
  expect(names).toEqual(['sshd', 'sshd', 'sshd', 'console', 'console', 'su', 'cron', 'cron']);
});

test('whatever a record holds, its event is a row that ingest takes', () => {
  const hostile = [
    { door: 'sshd', argv: Buffer.alloc(1024, 0xff), environment: Buffer.alloc(2048, 0x41) },
    { door: '', argv: Buffer.alloc(0) },
    { door: 'sshd', environment: Buffer.from(`SSH_CONNECTION=${'9'.repeat(200)} 99999 x\0=\0==\0__proto__=1\0`) },
    { door: 'login', argv: Buffer.from('"\\\n\u0001\0'.repeat(120)) },
  ];
  const { complete } = freeEventRows(at, 'kernel', 'web-1');
  for (const wish of hostile) {
    const row = complete(event(wish), at, () => new Uint8Array());
    expect(freeRow.safeParse(row), JSON.stringify(wish).slice(0, 80)).toMatchObject({ success: true });
  }
  expect(freeRow.safeParse(complete(lostLogins(3, at), at, () => new Uint8Array()))).toMatchObject({ success: true });
});

test('an account without a name keeps its number, and a record that is cut is none', () => {
  expect(loginEvent(readLogin(bytesOf({ door: 'su' }))!, '', at)).toMatchObject({ login: '1000' });
  expect(readLogin(bytesOf({ door: 'su' }).subarray(1))).toBeNull();
});

test('addresses are read as the kernel prints them', () => {
  expect(['0100007F', '0000000000000000FFFF00000101080A', 'B80D0120000000000000000001000000', '00000000000000000000000001000000'].map(addressOf)).toEqual([
    '127.0.0.1', '10.8.1.1', '2001:db8::1', '::1',
  ]); // prettier-ignore
});
