/**
 * Messages of the authentication and connection protocols (RFC 4252, RFC 4254, OpenSSH PROTOCOL): numbers, and the few
 * that the gateway writes itself. What it reads is read where it is used, with `SshReader`.
 */
import { SshWriter } from '#schemas/ssh/wire.js';

export const MSG = {
  disconnect: 1,
  serviceRequest: 5,
  serviceAccept: 6,
  /** RFC 8308. */
  extInfo: 7,
  userauthRequest: 50,
  userauthFailure: 51,
  userauthSuccess: 52,
  userauthBanner: 53,
  userauthPkOk: 60,
  globalRequest: 80,
  requestSuccess: 81,
  requestFailure: 82,
  channelOpen: 90,
  channelOpenConfirmation: 91,
  channelOpenFailure: 92,
  channelWindowAdjust: 93,
  channelData: 94,
  channelExtendedData: 95,
  channelEof: 96,
  channelClose: 97,
  channelRequest: 98,
  channelSuccess: 99,
  channelFailure: 100,
  /** Reason codes of `disconnect`. */
  disconnectProtocolError: 2,
  disconnectServiceUnavailable: 7,
  disconnectByApplication: 11,
  disconnectTooMany: 12,
  disconnectNoMoreAuth: 14,
} as const;

/** Reason codes of a channel that is not opened. */
export const OPEN_REFUSED = { prohibited: 1, connectFailed: 2, unknownType: 3, shortage: 4 } as const;
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
  /** Without a reply. */
  request: (recipient: number, name: string, ...texts: readonly string[]) => {
    const request = writer(MSG.channelRequest).uint32(recipient).utf8(name).byte(0);
    for (const text of texts) request.utf8(text);
    return request.bytes();
  },
  exitStatus: (recipient: number, status: number) =>
    writer(MSG.channelRequest).uint32(recipient).utf8('exit-status').byte(0).uint32(status).bytes(),
} as const;
