/** The parts of gifenc 1.0 that are used; it ships no typings. Node loads its CommonJS module, so its exports are members of the default. */
declare module 'gifenc' {
  export type Colour = readonly [red: number, green: number, blue: number];
  export interface FrameOptions {
    readonly palette: readonly Colour[];
    /** ms, rounded to hundredths of a second. */
    readonly delay: number;
    readonly transparent?: boolean;
    readonly transparentIndex?: number;
    /** 1: the frame stays and the next is drawn over it. */
    readonly dispose?: number;
    /** Set on the first frame; 0: repeat forever. */
    readonly repeat?: number;
  }
  export interface Encoder {
    writeFrame(indexes: Uint8Array, width: number, height: number, options: FrameOptions): void;
    finish(): void;
    /** A copy of the bytes written since the last reset of `stream`. */
    bytes(): Uint8Array;
    readonly stream: { reset(): void };
  }
  const gifenc: {
    readonly GIFEncoder: () => Encoder;
    /** At most `colours` colours for these pixels of four bytes each. */
    readonly quantize: (rgba: Uint8Array, colours: number) => [number, number, number][];
  };
  export default gifenc;
}
