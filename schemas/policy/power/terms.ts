/**
 * The terms of sessions that a role sets, and whether one role's are at least as strict as another's. Tested in
 * terms.test.ts.
 */
import { streamsModes, unechoedModes } from '../../recording/line.js';
import type { ModerationTerm, Role } from '../role.js';

const modes = ['off', 'best_effort', 'strict'] as const;

type Terms = Pick<
  Role,
  | 'recording'
  | 'max_session_length'
  | 'idle_timeout'
  | 'reconnect'
  | 'disconnect_expired_cert'
  | 'require_session_mfa'
  | 'require_write_mfa'
  | 'moderation'
  | 'port_forwarding'
  | 'agent_forwarding'
  | 'max_ttl'
  | 'max_sessions'
>;

/**
 * The first term of `given` that is looser than `held`'s, or null. If several roles allow a session, the strictest term
 * applies, so a session by `given` alone would then be under looser terms than one by both. Forwardings are not terms:
 * of these the widest applies.
 */
export function looserTerm(given: Terms, held: Terms): string | null {
  const longer = (key: 'max_session_length' | 'idle_timeout'): boolean =>
    held[key] !== undefined && (given[key] === undefined || given[key] > held[key]);
  if (held.recording.mode === 'strict' && given.recording.mode !== 'strict') return 'recording.mode';
  if (streamsModes.indexOf(given.recording.streams) < streamsModes.indexOf(held.recording.streams)) return 'recording.streams';
  if (given.recording.streams !== 'full' && given.recording.limit < held.recording.limit) return 'recording.limit';
  if (unechoedModes.indexOf(given.recording.unechoed) < unechoedModes.indexOf(held.recording.unechoed)) return 'recording.unechoed';
  const [mine, theirs] = [given.recording.enhanced, held.recording.enhanced];
  if (modes.indexOf(mine.mode) < modes.indexOf(theirs.mode)) return 'recording.enhanced.mode';
  if (theirs.mode !== 'off' && !theirs.classes.every((known) => mine.classes.includes(known))) return 'recording.enhanced.classes';
  // A term that this function does not know must be the same.
  const unknown =
    differing(given.recording, held.recording, ['mode', 'streams', 'limit', 'unechoed', 'enhanced']) ??
    differing(mine, theirs, ['mode', 'classes']);
  if (unknown !== null) return `recording.${unknown}`;
  if (longer('max_session_length')) return 'max_session_length';
  if (longer('idle_timeout')) return 'idle_timeout';
  if ((given.reconnect ?? 0) > (held.reconnect ?? 0)) return 'reconnect';
  if (held.disconnect_expired_cert && !given.disconnect_expired_cert) return 'disconnect_expired_cert';
  if (held.require_session_mfa && !given.require_session_mfa) return 'require_session_mfa';
  if (held.require_write_mfa && !given.require_write_mfa) return 'require_write_mfa';
  if (looserModeration(given.moderation, held.moderation)) return 'moderation';
  return null;
}

/** Whether `given` may be met when `held` is not. An expression counts as equally strict only if it is identical. */
function looserModeration(given: ModerationTerm | undefined, held: ModerationTerm | undefined): boolean {
  if (held === undefined) return false;
  if (given === undefined || given.count < held.count) return true;
  if (!given.modes.every((mode) => held.modes.includes(mode))) return true;
  if (held.where !== undefined && given.where !== held.where) return true;
  if (held.presence !== undefined && (given.presence === undefined || given.presence > held.presence)) return true;
  return held.on_leave === 'terminate' && given.on_leave !== 'terminate';
}

/** As `looserTerm`, including the limits that apply per user rather than per session. */
export function looserRole(given: Terms, held: Terms): string | null {
  if (given.max_ttl > held.max_ttl) return 'max_ttl';
  if (held.max_sessions !== undefined && (given.max_sessions === undefined || given.max_sessions > held.max_sessions))
    return 'max_sessions';
  return looserTerm(given, held);
}

export function differing(a: object, b: object, known: readonly string[]): string | null {
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return (
    [...new Set([...Object.keys(left), ...Object.keys(right)])].find(
      (key) => !known.includes(key) && JSON.stringify(left[key]) !== JSON.stringify(right[key]),
    ) ?? null
  );
}
