/**
 * The peer programs: library and version, how each is started once `build` has made it, and what the library cannot do even
 * at a plain sshd, with the reason. README.md shows the same table.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PeerCommand } from './peer-process.js';

const sources = fileURLToPath(new URL('.', import.meta.url));
/** Output folder of `build`. */
export const built = join(sources, '../../node_modules/.cache/clients');

export interface Peer {
  readonly name: string;
  readonly library: string;
  readonly version: string;
  /** How the peer verifies the server: by the host CA, as `steno login` writes it, or by the plain host key. */
  readonly trust: 'authority' | 'host key';
  /** Cases that the library cannot pass, each with the reason. */
  readonly cannot: Readonly<Record<string, string>>;
  /** Peculiarities of the library, at a plain sshd too. */
  readonly notes?: string;
  readonly command: PeerCommand;
}

const java = (name: string): PeerCommand => ({
  file: 'java',
  args: [
    '-Xshare:auto',
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    '-cp',
    `${join(built, 'java')}/classes:${join(built, 'java')}/lib/*`,
    name,
  ],
});
const program = (folder: string): PeerCommand => ({ file: join(built, folder, 'peer'), args: [] });

export const peers: readonly Peer[] = [
  {
    name: 'go',
    library: 'golang.org/x/crypto/ssh, knownhosts, pkg/sftp',
    version: '0.59.0, 1.13.12',
    trust: 'authority',
    cannot: {},
    command: program('go'),
  },
  {
    name: 'jsch',
    library: 'com.github.mwiede:jsch',
    version: '2.28.8',
    trust: 'authority',
    cannot: {},
    notes: 'exchanges keys only while no data is in transit; a remote forwarding drops data on its way back once the far end has ended',
    command: java('JschPeer'),
  },
  {
    name: 'sshj',
    library: 'com.hierynomus:sshj',
    version: '0.40.0',
    trust: 'authority',
    cannot: { agent: 'it has no agent client' },
    notes: 'as jsch',
    command: java('SshjPeer'),
  },
  {
    name: 'mina',
    library: 'org.apache.sshd:sshd-core, sshd-sftp',
    version: '2.20.0',
    trust: 'authority',
    cannot: { agent: 'its agent client needs the native library of Apache Tomcat' },
    notes: 'a remote forwarding drops data on its way back once the far end has ended',
    command: java('MinaPeer'),
  },
  { name: 'russh', library: 'russh, russh-sftp', version: '0.65.1, 3.0.1', trust: 'host key', cannot: {}, command: program('russh') },
  { name: 'libssh', library: 'libssh', version: '0.10.6', trust: 'host key', cannot: {}, command: program('libssh') },
  {
    name: 'paramiko',
    library: 'paramiko',
    version: '2.12.0',
    trust: 'host key',
    cannot: {},
    notes: 'exchanges keys only while no data is in transit: with both directions full it deadlocks, at a plain sshd too',
    command: { file: '/usr/bin/python3', args: ['-W', 'ignore', join(sources, 'peers/paramiko/peer.py')] },
  },
  {
    name: 'asyncssh',
    library: 'asyncssh',
    version: '2.24.1',
    trust: 'authority',
    cannot: {},
    command: { file: join(built, 'asyncssh/bin/python'), args: [join(sources, 'peers/asyncssh/peer.py')] },
  },
  {
    name: 'ssh2',
    library: "ssh2 with Steno's patch",
    version: '1.17.0',
    trust: 'host key',
    notes: 'the published package cannot present a certificate',
    command: { file: process.execPath, args: [join(sources, 'peers/ssh2/peer.js')] },
    cannot: { agent: 'it skips certificates that an agent holds', rekey: 'its client starts no key exchange' },
  },
];

/** Why a peer is missing, or undefined. */
export function missing({ name }: Peer): string | undefined {
  if (name === 'ssh2') return undefined;
  const note = join(built, ['jsch', 'sshj', 'mina'].includes(name) ? 'java' : name, 'missing');
  if (existsSync(note)) return readFileSync(note, 'utf8').trim();
  return existsSync(join(built, ['jsch', 'sshj', 'mina'].includes(name) ? 'java' : name))
    ? undefined
    : 'not built: test/clients/build makes it';
}
