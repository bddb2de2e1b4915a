/**
 * The part of asciinema-player 3.18 that this page uses. The shipped typings leave out custom drivers (a function as source,
 * dist/core: `getDriver`) and the events a driver dispatches; these replace them. The VT is the player's own.
 */
declare module 'asciinema-player' {
  export interface DriverEvents {
    reset: { readonly size: { readonly cols: number; readonly rows: number }; readonly init: string; readonly theme: null };
    output: string | readonly string[];
    resize: { readonly cols: number; readonly rows: number };
    metadata: { readonly duration?: number };
    timing: Timing;
    playing: undefined;
    pause: undefined;
    seeked: undefined;
    ended: { readonly message?: string } | undefined;
    error: { readonly message: string };
  }
  /** Seconds; `sampledAt` in ms since 1970. */
  export interface Timing {
    readonly time: number;
    readonly rate: number;
    readonly sampledAt: number;
  }
  export type Dispatch = <Name extends keyof DriverEvents>(name: Name, data?: DriverEvents[Name]) => void;
  export interface Driver {
    init(): void | Promise<void>;
    play(): void | Promise<void>;
    pause(): void | Promise<void>;
    seek(where: unknown): boolean | Promise<boolean>;
    step(n?: number): void | Promise<void>;
    stop(): void | Promise<void>;
    getTiming(): Timing;
    getDuration(): number | undefined;
  }
  export type DriverFactory = (callbacks: { readonly dispatch: Dispatch }) => Driver;
  export interface Options {
    readonly cols?: number;
    readonly rows?: number;
    readonly autoPlay?: boolean;
    readonly controls?: boolean;
    readonly fit?: 'width' | 'height' | 'both' | false;
    readonly theme?: string;
    readonly cursorMode?: 'blinking' | 'steady' | 'hidden';
    readonly terminalFontFamily?: string;
    readonly terminalLineHeight?: number;
  }
  export interface Player {
    readonly el: HTMLElement;
    dispose(): void;
  }
  export function create(source: DriverFactory, element: HTMLElement, options?: Options): Player;
}
