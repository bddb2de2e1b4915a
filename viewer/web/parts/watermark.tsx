/**
 * The watermark that the server asks for, drawn over its container: a separate element above the content that takes no clicks. Recorded
 * content is text or terminal cells and cannot cover it.
 */
import { useId } from 'react';
import type { ReactNode } from 'react';
import { watermarkInks, watermarkText, watermarkTile } from '#schemas/offline/watermark.js';
import type { Watermark as Mark } from '#schemas/offline/watermark.js';

/** Renders nothing without a mark. The parent is the box that is covered: it needs `position: relative`. */
export function Watermark({ mark }: { readonly mark: Mark | undefined }): ReactNode {
  const id = useId();
  if (mark === undefined) return null;
  const text = watermarkText(mark);
  const { width, height, angle } = watermarkTile(text);
  return (
    <svg className="watermark" aria-hidden="true" data-watermark={text}>
      <pattern id={id} width={width} height={height} patternUnits="userSpaceOnUse" patternTransform={`rotate(${angle})`} fontSize={13}>
        {watermarkInks.map(({ x, y, fill, opacity }) => (
          <text key={fill} x={x} y={y} fill={fill} fillOpacity={opacity}>
            {text}
          </text>
        ))}
      </pattern>
      <rect width="100%" height="100%" fill={`url(#${id})`} />
    </svg>
  );
}
