/** Stands in for the design system's loader of illustrations (vite.config.ts): we use none. */
export const LazyIllustration = () => null;

export { LazyIllustration as n, LazyIllustration as r, LazyIllustration as t };
export default LazyIllustration;
