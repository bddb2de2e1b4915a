/**
 * Messages of the authentication and connection protocols (RFC 4252, RFC 4254, OpenSSH PROTOCOL) that the gateway writes itself.
 * Incoming messages are parsed where they are used, with `SshReader`.
 */
import { MSG } from '#schemas/ssh/numbers.js';
import { SshWriter } from '#schemas/ssh/wire.js';

export const STDERR = 1;

const writer = (type: number): SshWriter => new SshWriter().byte(type);

export const message = {
  serviceRequest: (name: string) => writer(MSG.serviceRequest).utf8(name).bytes(),
  serviceAccept: (name: string) => writer(MSG.serviceAccept).utf8(name).bytes(),
  authFailure: () => writer(MSG.userauthFailure).nameList(['publickey']).byte(0).bytes(),
  authSuccess: () => writer(MSG.userauthSuccess).bytes(),
  authBanner: (text: string) => writer(MSG.userauthBanner).utf8(text).utf8('').bytes(),
  authKeyAccepted: (algorithm: string, blob: Uint8Array) => writer(MSG.userauthPkOk).utf8(algorithm).string(blob).bytes(),
  requestFailure: () => writer(MSG.requestFailure).bytes(),
  openConfirmation: (recipient: number, sender: number, window: number, maxPacket: number) =>
    writer(MSG.channelOpenConfirmation).uint32(recipient).uint32(sender).uint32(window).uint32(maxPacket).bytes(),
  openFailure: (recipient: number, reason: number, text: string) =>
    writer(MSG.channelOpenFailure).uint32(recipient).uint32(reason).utf8(text).utf8('').bytes(),
  windowAdjust: (recipient: number, bytes: number) => writer(MSG.channelWindowAdjust).uint32(recipient).uint32(bytes).bytes(),
  data: (recipient: number, bytes: Uint8Array) => writer(MSG.channelData).uint32(recipient).string(bytes).bytes(),
  errorData: (recipient: number, bytes: Uint8Array) =>
    writer(MSG.channelExtendedData).uint32(recipient).uint32(STDERR).string(bytes).bytes(),
  eof: (recipient: number) => writer(MSG.channelEof).uint32(recipient).bytes(),
  close: (recipient: number) => writer(MSG.channelClose).uint32(recipient).bytes(),
  success: (recipient: number) => writer(MSG.channelSuccess).uint32(recipient).bytes(),
  failure: (recipient: number) => writer(MSG.channelFailure).uint32(recipient).bytes(),
  /** A request without a reply. */
  request: (recipient: number, name: string, ...texts: readonly string[]) => {
    const request = writer(MSG.channelRequest).uint32(recipient).utf8(name).byte(0);
    for (const text of texts) request.utf8(text);
    return request.bytes();
  },
  /** A request that no client knows, so that each answers that it does not. */
  keepalive: (recipient: number) => writer(MSG.channelRequest).uint32(recipient).utf8('keepalive@openssh.com').byte(1).bytes(),
  exitStatus: (recipient: number, status: number) =>
    writer(MSG.channelRequest).uint32(recipient).utf8('exit-status').byte(0).uint32(status).bytes(),
} as const;
