/**
 * A peer on ssh2 as Steno patches it: the published package cannot present a certificate. The patched client signs with the
 * type of the plain key. The requests are described in ../PROTOCOL.md.
 */
import { createReadStream, createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import ssh2 from 'ssh2';

const { env } = process;
const say = (first, ...words) => process.stdout.write([first, ...words.map((word) => encodeURIComponent(String(word)))].join(' ') + '\n');

/** Key blobs in base64 that the file lists for the server. */
function knownKeys() {
  const name = `[${env.PEER_HOST}]:${env.PEER_PORT}`;
  return readFileSync(env.PEER_KNOWN_HOSTS, 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([host]) => host === name)
    .map(([, , key]) => key);
}

/** The private key, presented with the type and the public blob of the certificate. */
function certifiedKey() {
  const [type, blob] = readFileSync(`${env.PEER_KEY}-cert.pub`, 'utf8').split(' ');
  const key = ssh2.utils.parseKey(readFileSync(env.PEER_KEY));
  return Object.create(key, {
    type: { value: type },
    getPublicSSH: { value: () => Buffer.from(blob, 'base64') },
    sign: { value: (data) => key.sign(data) },
  });
}

async function connect(auth) {
  const client = new ssh2.Client();
  const ready = once(client, 'ready');
  client.connect({
    host: env.PEER_HOST,
    port: Number(env.PEER_PORT),
    username: env.PEER_USER,
    hostVerifier: (key) => knownKeys().includes(key.toString('base64')),
    authHandler: [
      auth === 'agent'
        ? { type: 'agent', username: env.PEER_USER, agent: env.SSH_AUTH_SOCK }
        : { type: 'publickey', username: env.PEER_USER, key: certifiedKey() },
    ],
  });
  await ready;
  return client;
}

const exec = (client, command) => promisify(client.exec).call(client, command);

async function ended(stream) {
  const [code] = await once(stream, 'close');
  return code;
}

async function run(client, command, input, out) {
  const stream = await exec(client, command);
  const over = ended(stream);
  // A program that reads nothing may exit, and its channel close, before the end of its input is sent.
  const given = pipeline(createReadStream(input), stream).catch((error) => {
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  });
  const parts = [given, pipeline(stream.stderr, createWriteStream(`${out}/stderr`))];
  stream.pipe(createWriteStream(`${out}/stdout`));
  await Promise.all(parts);
  say('exit', await over);
}

async function shell(client, out) {
  const stream = await promisify(client.shell).call(client, { term: 'xterm-256color', rows: 24, cols: 80 });
  let printed = '';
  let changed = false;
  stream.on('data', (chunk) => {
    printed += chunk;
    if (changed || !printed.includes('24 80')) return;
    changed = true;
    stream.setWindow(43, 132, 0, 0);
    stream.write('\n');
  });
  stream.write('stty size; read line; stty size; exit 5\n');
  const code = await ended(stream);
  writeFileSync(`${out}/stdout`, printed);
  say('exit', code);
}

async function two(client, first, second, out) {
  const codes = await Promise.all(
    [first, second].map(async (file, index) => {
      const stream = await exec(client, readFileSync(file, 'utf8'));
      const over = ended(stream);
      writeFileSync(`${out}/stdout${index + 1}`, await buffer(stream));
      return over;
    }),
  );
  say('exit', ...codes);
}

async function local(client, host, port, input, out) {
  const stream = await promisify(client.forwardOut).call(client, '127.0.0.1', 0, host, Number(port));
  const [, back] = await Promise.all([pipeline(createReadStream(input), stream), buffer(stream)]);
  writeFileSync(`${out}/stdout`, back);
}

async function remote(client) {
  const arrived = new Promise((resolve) => client.once('tcp connection', (info, accept) => resolve(accept())));
  const port = await promisify(client.forwardIn).call(client, '127.0.0.1', 0);
  say('port', port);
  const stream = await arrived;
  const over = once(stream, 'close');
  stream.pipe(stream);
  await over;
  await promisify(client.unforwardIn).call(client, '127.0.0.1', port);
}

async function operate(sftp, verb, path, other) {
  const call = (name, ...args) => promisify(sftp[name]).call(sftp, ...args);
  switch (verb) {
    case 'mkdir':
      return call('mkdir', path);
    case 'put':
      return call('fastPut', path, other);
    case 'get':
      return call('fastGet', path, other);
    case 'rename':
      return call('rename', path, other);
    case 'symlink':
      return call('symlink', path, other);
    case 'readlink':
      return say('target', await call('readlink', path));
    case 'list':
      for (const { filename } of await call('readdir', path)) say('name', filename);
      return;
    case 'size':
      return say('size', (await call('stat', path)).size);
    case 'remove':
      return call('unlink', path);
    case 'rmdir':
      return call('rmdir', path);
    default:
      throw new Error(`no operation ${verb}`);
  }
}

async function script(client, file) {
  const sftp = await promisify(client.sftp).call(client);
  for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
    try {
      await operate(sftp, ...line.split(' ').map(decodeURIComponent));
      say('ok');
    } catch (error) {
      say('error', error.message);
    }
  }
  const over = once(sftp, 'close');
  sftp.end();
  await over;
}

async function answer(auth, verb, args) {
  const client = await connect(auth);
  const over = once(client, 'close');
  try {
    if (verb === 'exec') await run(client, readFileSync(args[0], 'utf8'), args[1], args[2]);
    else await { shell, two, local, remote, sftp: script }[verb](client, ...args);
  } finally {
    client.end();
    await over;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [auth, verb, ...args] = line.split(' ').map(decodeURIComponent);
  try {
    await answer(auth, verb, args);
    say('done');
  } catch (error) {
    say('failed', error.message);
  }
}
