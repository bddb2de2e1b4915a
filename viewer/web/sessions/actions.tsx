/** The actions on a session: invite, compare, verify, export. */
import type { MouseEvent, ReactNode } from 'react';
import { Link } from 'wouter';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { Position } from '../cases/notes.js';
import { addressOf } from '../parts/endpoints.js';
import { VerifyPanel } from '../verify/panel.js';
import { InvitePanel } from './invite.js';

const formats = [
  ['html', 'One file that replays and verifies itself', 'opens in any browser, offline'],
  ['cast.zst', 'Recording with proof', 'verifies offline; zstd -d opens it'],
  ['cast', 'asciicast v3', 'for any asciinema player'],
  ['txt', 'Plain text', 'what scrolled over the screen'],
  ['json', 'JSON', 'facts and rendered lines'],
  ['events.csv', 'Events as CSV', 'for a spreadsheet'],
  ['events.ocsf', 'Events as OCSF', 'for a SIEM, one object a line'],
] as const;
/** Lengths of an animation, in seconds. */
const lengths = [5, 15, 60] as const;
const pictures = [
  ['png', 'Picture', 'the screen at this moment, as PNG'],
  ['svg', 'Picture with text', 'the same as SVG: its text can be selected'],
] as const;

export function Actions({ session, replay }: { readonly session: SessionInfo; readonly replay: Position | null }): ReactNode {
  return (
    <div className="actions">
      {session.live !== undefined && session.live.invite.length > 0 && <InvitePanel session={session} modes={session.live.invite} />}
      <Link className="act" to={`/sessions?compare=${session.id}`}>
        Compare
      </Link>
      <details className="menu" name="actions">
        <summary>Verify</summary>
        <div className="menu-body">
          <VerifyPanel session={session} />
        </div>
      </details>
      <details className="menu" name="actions">
        <summary>Export</summary>
        <div className="menu-body">
          {formats.map(([format, title, hint]) => (
            <a
              key={format}
              className="menu-item"
              href={addressOf('GET /api/sessions/:id/export', { params: { id: session.id }, query: { format } })}
              download={`${session.id}.${format}`}
            >
              <strong>{title}</strong>
              <span>{hint}</span>
            </a>
          ))}
          {replay !== null && <Pictures id={session.id} replay={replay} />}
        </div>
      </details>
    </div>
  );
}

function Pictures({ id, replay }: { readonly id: string; readonly replay: Position }): ReactNode {
  // Take the position at the click: the replay continues while the menu is open.
  const link = (query: (at: number) => { readonly format: 'png' | 'svg' | 'gif'; readonly at: number; readonly until?: number }) => {
    const address = (at: number): string => addressOf('GET /api/sessions/:id/export', { params: { id }, query: query(Math.round(at)) });
    return {
      href: address(0),
      download: `${id}.${query(0).format}`,
      onClick: (event: MouseEvent<HTMLAnchorElement>) => {
        event.currentTarget.href = address(replay.position);
      },
    };
  };
  return (
    <>
      {pictures.map(([format, title, hint]) => (
        <a key={format} className="menu-item" {...link((at) => ({ format, at }))}>
          <strong>{title}</strong>
          <span>{hint}</span>
        </a>
      ))}
      <div className="menu-item menu-lengths" role="group" aria-label="Animation, as GIF">
        <strong>Animation</strong>
        <span>from this moment on, as GIF</span>
        <p>
          {lengths.map((seconds) => (
            <a
              key={seconds}
              aria-label={`Animation of ${seconds} seconds`}
              {...link((at) => ({ format: 'gif', at, until: at + seconds * 1000 }))}
            >
              {seconds} s
            </a>
          ))}
        </p>
      </div>
    </>
  );
}
