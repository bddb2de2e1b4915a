declare module 'zstd-codec' {
  export namespace ZstdCodec {
    interface Simple {
      compress(content: Uint8Array, level?: number): Uint8Array | null;
      decompress(frame: Uint8Array): Uint8Array | null;
    }
    interface Module {
      readonly Simple: new () => Simple;
    }
    function run(ready: (module: Module) => void): void;
  }
}
