/**
 * Lets a terminal of the page outlive a lost network, for the time that the user's roles allow (`reconnect`).
 *
 * Once the session's connection is relayed, the page gets the ticket inside SSH, so that nobody in between can read it. While the network
 * is lost, everything that can end a session still applies: locks, roles, limits. Each loss and each return is recorded as a mark and
 * audited. The browser must come back from an address that its certificate names. Decision 0165. Tested in
 * test/end-to-end/terminal-resume.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Allowed } from '#schemas/policy/node.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { MSG } from '#schemas/ssh/numbers.js';
import { PAGE_IDENT, RECONNECT_REQUEST } from '#schemas/ssh/page-client.js';
import { matchesSourceAddress } from '#schemas/ssh/source-address.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import type { Wire } from '../../edge/socket-wire.js';
import type { AuditEntry } from '../../recorder/recorder.js';
import type { Access } from '../../sessions/access.js';
import { printable } from '../../sessions/refusal.js';
import { auditPlace } from '../../sessions/target.js';
import type { Transport } from '../transport/transport.js';

export interface Reconnecting {
  /** Applies changed roles. */
  permit(decision: Allowed): void;
}

export interface ReconnectDeps {
  readonly wire: Wire;
  readonly client: Transport;
  readonly certificate: SshCertificate;
  readonly access: Access;
  readonly audit: (entry: AuditEntry) => void;
}

/** Returns null if this client cannot come back. */
export function offerReconnect({ wire, client, certificate, access, audit }: ReconnectDeps, decision: Allowed): Reconnecting | null {
  if (wire.keep === undefined || client.software !== PAGE_IDENT) return null;
  let seconds = decision.limits.reconnect ?? 0;
  const { identity, target } = access.facts;
  const note = (event: string, source: string, more: Partial<AuditEntry>): void =>
    audit({
      event,
      outcome: 'success',
      actor: identity.user,
      source_address: source,
      ...auditPlace(target),
      ...sessionOf(access),
      ...more,
    });
  const mark = (words: string): void => {
    for (const { recorder } of access.sessions) recorder.marker(`${printable(identity.user, 64)}: ${words}`);
  };
  const ticket = wire.keep({
    ms: () => seconds * 1000,
    assertFrom: (source) => {
      const list = certificate.criticalOptions.get('source-address');
      if (list !== undefined && !matchesSourceAddress(list, source)) throw new StenoError('CERT_WRONG_SOURCE', `from ${source}`);
    },
    lost: () => {
      mark(`network lost, waits ${seconds} s`);
      note('terminal.lost', access.facts.source, { data: JSON.stringify({ waits_s: seconds }) });
    },
    resumed: (ms, source) => {
      mark(ms === 0 ? 'network replaced' : `network back after ${Math.ceil(ms / 1000)} s`);
      note('terminal.resumed', source, { data: JSON.stringify({ away_ms: ms }) });
    },
    refused: (source, why) =>
      note('terminal.resume_refused', source, { outcome: 'failure', code: 'RECONNECT_REFUSED', reason: printable(why, 256) }),
  });
  // Sent even if roles allow no reconnecting now, since they may allow it later.
  const tell = (): void =>
    client.send(
      new SshWriter().byte(MSG.globalRequest).utf8(RECONNECT_REQUEST).byte(0).utf8(ticket.id).string(ticket.secret).uint32(seconds).bytes(),
    );
  tell();
  return {
    permit(latest) {
      const now = latest.limits.reconnect ?? 0;
      if (now === seconds) return;
      seconds = now;
      tell();
      wire.recheck?.();
    },
  };
}

/** The first session of the connection, if there is one. */
function sessionOf({ sessions }: Access): { readonly session?: string } {
  const [first] = sessions;
  return first === undefined ? {} : { session: first.id };
}
