/** A service joining an authority: its identity, and its authority connection once a snapshot has arrived. */
import { StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { connectAuthority } from './authority-client.js';
import type { AuthorityClient } from './authority-client.js';
import { readSecret } from './config.js';
import type { MemberConfig } from './config.js';
import { openServiceIdentity } from './identity.js';
import type { IdentityConfig, IdentityContext, ServiceIdentity } from './identity.js';
import type { TokenKind } from '#schemas/service-join.js';

/** `token`: set by a parent that starts the service in its own process group; otherwise a file is named. */
export type Joining = MemberConfig & { readonly token?: string };

export interface Member {
  readonly identity: ServiceIdentity;
  readonly authority: AuthorityClient;
  close(): void;
}

type Wishes = Pick<IdentityConfig, 'hostNames' | 'everyHostKey' | 'records'> & { readonly dir: string };

/**
 * Rejects with SERVICE_NOT_JOINED, SERVICE_REMOVED, SERVICE_JOIN_REFUSED, SERVICE_NAME_TAKEN, AUTHORITY_UNTRUSTED or
 * NOT_RUNNING.
 */
export async function openMember(kind: TokenKind, config: Joining, wishes: Wishes, context: IdentityContext): Promise<Member> {
  try {
    return await open(kind, config, wishes, context, false);
  } catch (removed) {
    if (!hasCode(removed, ['SERVICE_REMOVED'])) throw removed;
    // The service may have been given a new token. If it has none, or only its first one, report the removal.
    return open(kind, config, wishes, context, true).catch((error: unknown) => {
      throw hasCode(error, ['SERVICE_NOT_JOINED', 'SERVICE_JOIN_REFUSED', 'AUTHORITY_UNTRUSTED']) ? removed : error;
    });
  }
}

async function open(kind: TokenKind, config: Joining, wishes: Wishes, context: IdentityContext, anew: boolean): Promise<Member> {
  const { token_file: file, ca_pins: pins } = config.join;
  const token = (): string | undefined => config.token ?? (file === undefined ? undefined : readSecret(file));
  const identity = await openServiceIdentity(
    { kind, name: config.name, ...wishes, join: { authorities: config.authorities, pins, token, anew } },
    context,
  );
  const authority = connectAuthority({ url: config.authorities.join(','), identity }, { log: context.log });
  const close = (): void => {
    authority.close();
    identity.close();
  };
  try {
    await authority.ready();
  } catch (error) {
    close();
    throw error;
  }
  return { identity, authority, close };
}

function hasCode(error: unknown, codes: readonly ErrorCode[]): boolean {
  return error instanceof StenoError && codes.includes(error.code);
}
