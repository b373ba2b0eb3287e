import Icon, { type IconProps, type SvgIcon } from '@helsenorge/designsystem-react/components/Icon';
import AlertSignFill from '@helsenorge/designsystem-react/components/Icons/AlertSignFill';

/** Stands in for the design system's loader of icons by name (vite.config.ts): components are given icons, not names. */
export const lazyLoadIcon = (_name: string): SvgIcon => AlertSignFill;

export const LazyIcon = ({ iconName: _name, ...rest }: Omit<IconProps, 'svgIcon'> & { iconName: string }) => (
  <Icon svgIcon={AlertSignFill} {...rest} />
);

// The names that the design system's own files import.
export { LazyIcon as n, lazyLoadIcon as r, LazyIcon as t };
export default LazyIcon;
