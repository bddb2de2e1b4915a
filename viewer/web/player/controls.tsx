/** Play, speed, idle time, and the lag behind a live session, with their keys. */
import { useEffect } from 'react';
import type { ReactNode } from 'react';
import { clockWithin, duration } from '../parts/format.js';
import type { Replay } from '#schemas/player/replay.js';
import { usePosition, useReplayState } from './use-replay.js';

export const speeds = [0.5, 1, 2, 4, 8, 16] as const;

export interface ControlsProps {
  readonly replay: Replay;
  readonly onFullscreen: () => void;
  readonly onHelp: () => void;
}

export function Controls({ replay, onFullscreen, onHelp }: ControlsProps): ReactNode {
  const state = useReplayState(replay);
  const position = usePosition(replay);
  const playing = state.phase === 'playing';
  return (
    <div className="controls">
      <button type="button" className="play" onClick={() => replay.toggle()} aria-label={playing ? 'Pause' : 'Play'} title="Space">
        <svg viewBox="0 0 24 24" aria-hidden="true">
          {playing ? <path d="M7 5h3.6v14H7zM13.4 5H17v14h-3.6z" /> : <path d="M8 4.8v14.4L19.5 12z" />}
        </svg>
      </button>
      <span className="time" aria-live="off">
        <b>{clockWithin(position, state.duration)}</b> / {clockWithin(state.duration, state.duration)}
      </span>
      {state.live && <Live replay={replay} position={position} />}
      <span className="spacer" />
      <span className="control-group">
        {!state.following && (
          <>
            <label className="toggle" title="I">
              <input type="checkbox" checked={state.skipIdle} onChange={(event) => replay.setSkipIdle(event.target.checked)} />
              <span>Skip idle</span>
            </label>
            <label className="speed" title="&lt; and &gt;">
              <span className="sr">Speed</span>
              <select
                value={state.speed}
                onChange={(event) => {
                  replay.setSpeed(Number(event.target.value));
                  // Returns the keys to the player.
                  event.target.blur();
                }}
                aria-label="Speed"
              >
                {speeds.map((speed) => (
                  <option key={speed} value={speed}>
                    {speed}×
                  </option>
                ))}
              </select>
            </label>
          </>
        )}
        <button type="button" className="icon keys" onClick={onHelp} aria-label="Keys" title="?" aria-haspopup="dialog">
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d="M3 6h18v12H3zm2 2v8h14V8zm2 1.5h2v2H7zm4 0h2v2h-2zm4 0h2v2h-2zM8 13h8v2H8z" fillRule="evenodd" />
          </svg>
        </button>
        <button type="button" className="icon" onClick={onFullscreen} aria-label="Full screen" title="F">
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d="M4 9V4h5v2H6v3zM15 4h5v5h-2V6h-3zM4 15h2v3h3v2H4zM18 15h2v5h-5v-2h3z" />
          </svg>
        </button>
      </span>
    </div>
  );
}

/** A smaller lag counts as none: it is what arrived since the last frame was drawn. */
const BEHIND_MS = 1_000;

/** Whether the session is followed live; if not, the lag and two ways to catch up. */
function Live({ replay, position }: { readonly replay: Replay; readonly position: number }): ReactNode {
  const { following, duration: end } = useReplayState(replay);
  const behind = end - position;
  return (
    <span className="live-state" data-behind={following ? undefined : Math.floor(behind / 1000)}>
      <button
        type="button"
        className={following ? 'live-button following' : 'live-button'}
        onClick={() => void replay.follow()}
        aria-pressed={following}
        title="L"
      >
        <span className="live-dot" aria-hidden="true" />
        {following ? 'Live' : 'Go live'}
      </button>
      {!following && <span className="behind">{behind < BEHIND_MS ? 'Nothing newer yet' : `${duration(behind)} behind`}</span>}
      {!following && (
        <button type="button" className="quiet catch-up" onClick={() => replay.catchUp()} disabled={behind < BEHIND_MS} title="C">
          Catch up
        </button>
      )}
    </span>
  );
}

/** Keys of the player, active wherever the focus is, except while the user is typing. */
/** `replay`: null while something else handles the keys. */
export function useReplayKeys(
  replay: Replay | null,
  actions: {
    readonly onFullscreen: () => void;
    readonly onHit: (step: 1 | -1) => void;
    readonly onStop: (step: 1 | -1) => void;
    readonly onHelp: () => void;
  },
): void {
  useEffect(() => {
    if (replay === null) return undefined;
    const onKey = (event: globalThis.KeyboardEvent): void => {
      const target = event.target;
      // A dialog has its own keys.
      if (document.querySelector('dialog[open]') !== null) return;
      const typing = (target instanceof HTMLInputElement && target.type !== 'checkbox') || target instanceof HTMLTextAreaElement;
      if (event.ctrlKey || event.metaKey || event.altKey || typing || target instanceof HTMLSelectElement) return;
      if (
        (event.key === ' ' || event.key === 'Enter') &&
        (target instanceof HTMLButtonElement ||
          target instanceof HTMLInputElement ||
          (target instanceof HTMLElement && target.tagName === 'SUMMARY'))
      )
        return;
      const { speed, skipIdle } = replay.state;
      const at = speeds.findIndex((each) => each === speed);
      switch (event.key) {
        case ' ':
        case 'k':
          replay.toggle();
          break;
        case 'ArrowLeft':
          void replay.seek(replay.position - (event.shiftKey ? 30_000 : 5_000));
          break;
        case 'ArrowRight':
          void replay.seek(replay.position + (event.shiftKey ? 30_000 : 5_000));
          break;
        case ',':
          void replay.step(-1);
          break;
        case '.':
          void replay.step(1);
          break;
        case '[':
          actions.onStop(-1);
          break;
        case ']':
          actions.onStop(1);
          break;
        case '?':
          actions.onHelp();
          break;
        case 'Home':
          void replay.seek(0);
          break;
        case 'End':
          void (replay.state.live ? replay.follow() : replay.seek(replay.state.duration));
          break;
        case '<':
          replay.setSpeed(speeds[Math.max(0, at - 1)]!);
          break;
        case '>':
          replay.setSpeed(speeds[Math.min(speeds.length - 1, at + 1)]!);
          break;
        case 'i':
          replay.setSkipIdle(!skipIdle);
          break;
        case 'l':
          void replay.follow();
          break;
        case 'c':
          replay.catchUp();
          break;
        case 'f':
          actions.onFullscreen();
          break;
        case 'n':
          actions.onHit(1);
          break;
        case 'p':
        case 'N':
          actions.onHit(-1);
          break;
        default:
          return;
      }
      event.preventDefault();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [replay, actions]);
}
