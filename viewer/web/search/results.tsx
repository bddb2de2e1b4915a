/** Hits by session: the user and node, then one line for each hit, which opens the hit's moment. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { FoundHit, FoundSessions } from '#schemas/api/recordings/find.js';
import { StateBadge } from '../parts/basics.js';
import { clock, duration, isoTime, moment } from '../parts/format.js';
import { MarkedTexts, SafeText } from '../parts/safe-text.js';
import { withValue } from './narrow.js';

const kindNames: Readonly<Partial<Record<FoundHit['kind'], string>>> = {
  exec: 'ran',
  command: 'session',
  connect: 'connected',
  dns: 'looked up',
  kube: 'kube',
};

export function Results({
  groups,
  query,
  needles,
}: {
  readonly groups: FoundSessions['groups'];
  readonly query: string;
  readonly needles: readonly string[];
}): ReactNode {
  return (
    <ol className="groups">
      {groups.map((group) => (
        <li key={group.session?.id ?? ''} className="group">
          <GroupHead group={group} />
          <ol>
            {group.hits.map((hit, i) => (
              <li key={i}>
                <Hit hit={hit} needles={needles} />
              </li>
            ))}
          </ol>
          {group.count > group.hits.length && group.session !== null && (
            <Link className="more" to={`/search?q=${encodeURIComponent(withValue(query, 'session', group.session.id))}&each=20`}>
              {(group.count - group.hits.length).toLocaleString()} more in this session
            </Link>
          )}
        </li>
      ))}
    </ol>
  );
}

function GroupHead({ group: { session, last_at: last } }: { readonly group: FoundSessions['groups'][number] }): ReactNode {
  if (session === null)
    return (
      <header className="group-head">
        <strong>Outside sessions</strong>
        <time dateTime={isoTime(last)}>{moment(last)}</time>
      </header>
    );
  return (
    <header className="group-head">
      <Link to={`/sessions/${encodeURIComponent(session.id)}`}>
        <strong>
          <SafeText text={session.user} />
        </strong>
        <span className="arrow">→</span>
        <span className="mono">
          <SafeText text={`${session.login}@${session.node}`} />
        </span>
      </Link>
      <StateBadge state={session.state} />
      <time dateTime={isoTime(session.started_at)}>
        {moment(session.started_at)} · {duration(session.duration)}
      </time>
    </header>
  );
}

function Hit({ hit, needles }: { readonly hit: FoundHit; readonly needles: readonly string[] }): ReactNode {
  const context = (lines: readonly string[], where: string): ReactNode =>
    lines.map((line, i) => (
      <span key={`${where}${i}`} className="line around">
        <SafeText text={line} />
      </span>
    ));
  const body = (
    <>
      <span className={`hit-kind kind-${hit.kind}`}>{hit.severity === '' ? (kindNames[hit.kind] ?? hit.kind) : hit.severity}</span>
      <span className="hit-body">
        {context(hit.before, 'b')}
        <span className="line found">
          <MarkedTexts text={hit.text} needles={needles} />
          {hit.detail !== '' && (
            <span className="detail">
              <MarkedTexts text={hit.detail} needles={needles} />
            </span>
          )}
        </span>
        {context(hit.after, 'a')}
      </span>
      <span className="hit-time">{hit.time === null ? <time dateTime={isoTime(hit.at)}>{moment(hit.at)}</time> : clock(hit.time)}</span>
    </>
  );
  return hit.session === '' ? (
    <span className="found-hit">{body}</span>
  ) : (
    <Link to={hit.link} className="found-hit">
      {body}
    </Link>
  );
}
