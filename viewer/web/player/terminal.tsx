/** The terminal: asciinema-player without its controls, driven by a replay. It fits its box and is drawn dark in either scheme. */
import { useLayoutEffect, useRef } from 'react';
import type { ReactNode } from 'react';
import { create } from 'asciinema-player';
import type { Dispatch, Driver, DriverFactory } from 'asciinema-player';
import type { Replay } from '#schemas/player/replay.js';

const inert: Driver = {
  init: () => undefined,
  play: () => undefined,
  pause: () => undefined,
  seek: () => false,
  step: () => undefined,
  stop: () => undefined,
  getTiming: () => ({ time: 0, rate: 0, sampledAt: 0 }),
  getDuration: () => undefined,
};

function driverOf(replay: Replay, dispatch: Dispatch): Driver {
  return {
    // Both types name the same events; these typings cover more of them.
    init: () => replay.open((name, data) => dispatch(name, data as never)),
    play: () => replay.play(),
    pause: () => replay.pause(),
    seek: async (where) => (typeof where === 'number' ? replay.seek(where * 1000).then(() => true) : false),
    step: () => undefined,
    stop: () => replay.close(),
    getTiming: () => {
      const { phase, speed } = replay.state;
      const rate = phase === 'playing' ? speed : 0;
      return { time: replay.position / 1000, rate, sampledAt: performance.timeOrigin + performance.now() };
    },
    getDuration: () => replay.state.duration / 1000,
  };
}

export function Terminal({ replay, cols, rows }: { readonly replay: Replay; readonly cols: number; readonly rows: number }): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    // The player calls its driver once its terminal is loaded: by then it may have been disposed and must not take the replay.
    let gone = false;
    const driver: DriverFactory = (callbacks) => (gone ? inert : driverOf(replay, callbacks.dispatch));
    const player = create(driver, box.current!, {
      cols,
      rows,
      controls: false,
      autoPlay: false,
      fit: 'both',
      theme: 'steno',
      cursorMode: 'steady',
      terminalFontFamily: 'ui-monospace, "Cascadia Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Noto Sans Mono", monospace',
    });
    // The page has its own keys; the player must not handle them first.
    const swallow = (event: Event): void => event.stopPropagation();
    player.el.addEventListener('keydown', swallow, { capture: true });
    return () => {
      gone = true;
      player.el.removeEventListener('keydown', swallow, { capture: true });
      player.dispose();
    };
  }, [replay, cols, rows]);
  return <div className="terminal" ref={box} />;
}

export function toggleFullscreen(box: HTMLElement | null): void {
  if (document.fullscreenElement === null) void box?.requestFullscreen().catch(() => undefined);
  else void document.exitFullscreen();
}

/** Width to height of a terminal of this size: a cell is about 0.6 by 1.33 em. */
export function aspect(cols: number, rows: number): string {
  return ((cols * 0.602) / (rows * 1.333)).toFixed(3);
}
