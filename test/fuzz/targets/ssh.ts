/** Keys, certificates, signatures and packets of SSH. */
import { createRequire } from 'node:module';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey, verify } from '#runtime/ssh/keys.js';
import { isAlgorithmOf } from '#runtime/ssh/possession.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { encodeUnsigned, parseCertificate } from '#schemas/ssh/certificate.js';
import { encodePublicKey, formatPublicLine, parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import { armorSshsig, dearmorSshsig, decodeSshsig, encodeSshsig } from '#schemas/ssh/signature.js';
import { matchesSourceAddress } from '#schemas/ssh/source-address.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import { readClientOffer } from '../../../gateway/ssh/transport/kex-offer.js';
import { claim, claimEqual, parsed, utf8 } from '../target.js';
import type { Target } from '../target.js';

const now = 1_700_000_000;
const ca = generateKey();
const user = generateKey();
const certificate = issueCertificate(ca, {
  kind: 'user',
  serial: 7n,
  keyId: 'ann',
  principals: ['ann', 'root'],
  validAfter: BigInt(now - 60),
  validBefore: BigInt(now + 3600),
  criticalOptions: new Map([['source-address', '127.0.0.1/32,::1/128']]),
  extensions: new Map([
    ['permit-pty', ''],
    ['user@steno', 'ann'],
  ]),
  publicKey: user.publicBlob,
});
const signedBytes = Buffer.from(parseCertificate(certificate).signed);

const certificates: Target = {
  name: 'ssh-certificate',
  covers: ['schemas/ssh', 'runtime/ssh'],
  maxLength: 2048,
  words: [
    'ssh-ed25519-cert-v01@openssh.com',
    'ssh-rsa-cert-v01@openssh.com',
    'ecdsa-sha2-nistp256-cert-v01@openssh.com',
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'nistp256',
    'source-address',
    'force-command',
    'permit-pty',
    'verify-required',
  ],
  open: () =>
    Promise.resolve({
      seeds: [certificate],
      check(input) {
        const read = parsed(() => parseCertificate(input));
        if (read === undefined) return;
        parsePublicKey(read.publicKey);
        for (const algorithm of ['ssh-ed25519-cert-v01@openssh.com', 'rsa-sha2-256-cert-v01@openssh.com']) isAlgorithmOf(read, algorithm);
        const again = encodeUnsigned(read);
        if (again.length === read.signed.length) claimEqual(again, read.signed, 'a certificate is written as it was read');
        else claim(read.signed.length > again.length, 'only a reserved field is not kept');
        const admission = checkCertificate(read, {
          kind: 'user',
          now,
          trusted: [ca.publicBlob],
          principal: 'ann',
          sourceAddress: '127.0.0.1',
          verify,
        });
        if (admission.ok) claim(signedBytes.equals(read.signed), 'what is admitted is what the CA signed');
      },
    }),
};

const lines: Target = {
  name: 'ssh-public-key',
  covers: ['schemas/ssh'],
  maxLength: 1024,
  words: ['ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256', 'sk-ssh-ed25519@openssh.com', 'AAAAC3NzaC1lZDI1NTE5AAAAI'],
  open: () =>
    Promise.resolve({
      seeds: [utf8(formatPublicLine(user.publicBlob, 'ann@host')), Buffer.from(user.publicBlob)],
      check(input) {
        const key = parsed(() => parsePublicKey(input));
        if (key !== undefined) claimEqual(encodePublicKey(key), input, 'a key is written as it was read');
        const line = parsed(() => parseAuthorizedLine(input.toString()));
        if (line !== undefined)
          claimEqual(
            parsed(() => parseAuthorizedLine(formatPublicLine(line.blob)))?.blob,
            line.blob,
            'a line is read again as it was written',
          );
      },
    }),
};

const signature: Target = {
  name: 'sshsig',
  covers: ['schemas/ssh'],
  maxLength: 1024,
  words: ['SSHSIG', 'sha256', 'sha512', 'steno-checkpoint', '-----BEGIN SSH SIGNATURE-----', '-----END SSH SIGNATURE-----'],
  open: () => {
    const sample = encodeSshsig({
      publicKey: user.publicBlob,
      namespace: 'steno',
      hashAlgorithm: 'sha512',
      signature: user.sign(utf8('x')),
    });
    return Promise.resolve({
      seeds: [sample, utf8(armorSshsig(sample))],
      check(input) {
        const read = parsed(() => decodeSshsig(input));
        if (read !== undefined) {
          const again = encodeSshsig(read);
          // The reserved field may hold anything and is not kept (PROTOCOL.sshsig).
          if (again.length === input.length) claimEqual(again, input, 'a signature is written as it was read');
          else claimEqual(decodeSshsig(again), read, 'a signature is read again as it was written');
        }
        const bare = parsed(() => dearmorSshsig(input.toString('latin1')));
        if (bare !== undefined) claimEqual(dearmorSshsig(armorSshsig(bare)), bare, 'armour is read again');
        parsed(() => verify(input, input, input));
        parsed(() => verify(user.publicBlob, input, utf8('x')));
      },
    });
  },
};

const offer: Target = {
  name: 'ssh-kexinit',
  covers: ['gateway/ssh/transport/kex-offer', 'schemas/ssh/wire'],
  maxLength: 2048,
  words: ['SSH-2.0-', 'aes256-gcm@openssh.com', 'ssh-ed25519', 'curve25519-sha256'],
  open: () => {
    const list = (writer: SshWriter): SshWriter =>
      [
        'curve25519-sha256',
        'ssh-ed25519',
        'aes256-gcm@openssh.com',
        'aes256-gcm@openssh.com',
        'umac-64@openssh.com',
        'umac-64@openssh.com',
        'none',
        'none',
        '',
        '',
      ].reduce((all, name) => all.utf8(name), writer);
    const payload = list(new SshWriter().byte(20).raw(new Uint8Array(16)))
      .byte(0)
      .uint32(0)
      .bytes();
    const packet = new SshWriter()
      .uint32(payload.length + 5)
      .byte(4)
      .raw(payload)
      .raw(new Uint8Array(4))
      .bytes();
    return Promise.resolve({
      seeds: [Buffer.concat([utf8('SSH-2.0-OpenSSH_9.2\r\n'), packet])],
      check(input) {
        const whole = readClientOffer(input);
        for (let length = 0; length < input.length; length += 1 + (length >> 3)) {
          const early = readClientOffer(input.subarray(0, length));
          if (early !== undefined) claimEqual(early, whole, 'more bytes do not change an offer that was read');
        }
        if (whole !== undefined)
          claim(
            whole.hostKeys.every((name) => typeof name === 'string'),
            'names are text',
          );
      },
    });
  },
};

/** ssh2's parser of a peer: the identification line, then packets, before the key exchange. */
const packets: Target = {
  name: 'ssh-packets',
  covers: ['node_modules/ssh2/lib'],
  maxLength: 4096,
  words: ['SSH-2.0-x\r\n', 'curve25519-sha256', 'ssh-ed25519', 'kex-strict-c-v00@openssh.com', 'aes256-gcm@openssh.com'],
  async open() {
    const require = createRequire(import.meta.url);
    const Protocol = require('ssh2/lib/protocol/Protocol.js') as new (config: object) => {
      parse(bytes: Buffer, from: number, to: number): void;
      _kex?: object;
    };
    const handlers = require('ssh2/lib/protocol/handlers.js') as readonly (((self: object, payload: Buffer) => unknown) | undefined)[];
    const { KexInit } = require('ssh2/lib/protocol/kex.js') as { KexInit: new (lists: object) => object };
    const { parseKey } = require('ssh2/lib/protocol/keyParser.js') as { parseKey: (text: string) => object };
    const hostKey = parseKey(generateKey().toOpenSsh());
    const direction = { cipher: ['aes256-gcm@openssh.com'], mac: ['hmac-sha2-256'], compress: ['none'], lang: [] };
    const fresh = (): { parse(bytes: Buffer, from: number, to: number): void; _kex?: object } =>
      new Protocol({
        server: true,
        onWrite: () => undefined,
        onError: () => undefined,
        hostKeys: new Map([['ssh-ed25519', hostKey]]),
        messageHandlers: new Proxy({}, { get: () => () => undefined }),
        offer: new KexInit({ kex: ['curve25519-sha256'], serverHostKey: ['ssh-ed25519'], cs: direction, sc: direction }),
        ident: 'x',
        onHandshakeComplete: () => undefined,
      });
    const writer = (type: number): SshWriter => new SshWriter().byte(type);
    const kexInit = [
      'curve25519-sha256',
      'ssh-ed25519',
      'aes256-gcm@openssh.com',
      'aes256-gcm@openssh.com',
      'hmac-sha2-256',
      'hmac-sha2-256',
      'none',
      'none',
      '',
      '',
    ]
      .reduce((all, name) => all.utf8(name), new SshWriter().byte(20).raw(new Uint8Array(16)))
      .byte(0)
      .uint32(0)
      .bytes();
    const framed = (payload: Uint8Array): Buffer => {
      const padding = 16 - ((5 + payload.length) % 8);
      return Buffer.from(
        new SshWriter()
          .uint32(1 + payload.length + padding)
          .byte(padding)
          .raw(payload)
          .raw(new Uint8Array(padding))
          .bytes(),
      );
    };
    await Promise.resolve();
    return {
      // The first byte selects the parser: 0 for the first bytes of a connection, otherwise the payload of one message.
      seeds: [
        Buffer.concat([Buffer.of(0), utf8('SSH-2.0-x\r\n'), framed(kexInit)]),
        Buffer.concat([
          Buffer.of(1),
          writer(98)
            .uint32(0)
            .utf8('pty-req')
            .byte(1)
            .utf8('xterm')
            .uint32(80)
            .uint32(24)
            .uint32(0)
            .uint32(0)
            .string(Buffer.of(53, 0, 0, 0, 1, 0))
            .bytes(),
        ]),
        Buffer.concat([Buffer.of(1), writer(98).uint32(0).utf8('exec').byte(1).utf8('id').bytes()]),
        Buffer.concat([
          Buffer.of(1),
          writer(90).utf8('direct-tcpip').uint32(1).uint32(9).uint32(9).utf8('h').uint32(22).utf8('::1').uint32(1).bytes(),
        ]),
        Buffer.concat([
          Buffer.of(1),
          writer(50)
            .utf8('ann')
            .utf8('ssh-connection')
            .utf8('publickey')
            .byte(1)
            .utf8('ssh-ed25519')
            .string(user.publicBlob)
            .string(user.sign(utf8('x')))
            .bytes(),
        ]),
        Buffer.concat([Buffer.of(1), writer(80).utf8('tcpip-forward').byte(1).utf8('localhost').uint32(0).bytes()]),
        Buffer.concat([Buffer.of(1), writer(97).uint32(0).bytes()]),
      ],
      check(input) {
        if (input.length === 0) return;
        const protocol = fresh();
        if (input[0] === 0) {
          endsItsConnection(() => protocol.parse(input.subarray(1), 0, input.length - 1));
          return;
        }
        // The state after a key exchange.
        protocol._kex = { sessionID: Buffer.alloc(32) };
        const payload = input.subarray(1);
        const handler = payload.length === 0 ? undefined : handlers[payload[0]!];
        // The parser above covers key exchange messages, which are valid only in their order.
        if (handler !== undefined && (payload[0]! < 20 || payload[0]! > 49)) endsItsConnection(() => handler(protocol, payload));
      },
    };
  },
};

/** An error of ssh2 ends that connection and no other (gateway/ssh/transport/transport.ts, ssh2's server), so the property is only that parsing ends soon. */
function endsItsConnection(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}

const addresses: Target = {
  name: 'source-address',
  covers: ['schemas/ssh/source-address', 'schemas/ip-address'],
  maxLength: 256,
  words: ['127.0.0.1/32', '::ffff:10.0.0.1', '2001:db8::/32', '!10.0.0.0/8', '*'],
  open: () =>
    Promise.resolve({
      seeds: [utf8('127.0.0.1/32\n127.0.0.1'), utf8('10.0.0.0/8,::1/128\n::ffff:10.1.2.3'), utf8('!192.168.0.0/16\n192.168.1.1')],
      check(input) {
        const [list = '', address = ''] = input.toString().split('\n', 2);
        const matches = parsed(() => matchesSourceAddress(list, address));
        if (matches === true) claim(!matchesSourceAddress('', address), 'an empty list matches nobody');
      },
    }),
};

export const sshTargets: readonly Target[] = [certificates, lines, signature, offer, packets, addresses];
