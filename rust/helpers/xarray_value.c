// SPDX-License-Identifier: GPL-2.0

#include <linux/xarray.h>

/* Nodes are charged to the memory cgroup of whoever makes the array grow. */
__rust_helper void rust_helper_xa_init_values(struct xarray *xa)
{
	xa_init_flags(xa, XA_FLAGS_ACCOUNT);
}

__rust_helper void rust_helper_xas_init(struct xa_state *xas, struct xarray *xa,
					unsigned long index, unsigned int order)
{
	*xas = (struct xa_state)__XA_STATE(xa, index, 0, 0);
	if (order)
		xas_set_order(xas, index, order);
}

__rust_helper int rust_helper_xas_error(const struct xa_state *xas)
{
	return xas_error(xas);
}

__rust_helper void *rust_helper_xas_next(struct xa_state *xas)
{
	return xas_next(xas);
}

__rust_helper void *rust_helper_xas_next_entry(struct xa_state *xas,
					       unsigned long last)
{
	return xas_next_entry(xas, last);
}

__rust_helper void *rust_helper_xas_next_marked(struct xa_state *xas,
						unsigned long last,
						xa_mark_t mark)
{
	return xas_next_marked(xas, last, mark);
}

/* After xas_load(): would xas_store() find its slot without making a node? */
__rust_helper bool rust_helper_xas_has_slot(const struct xa_state *xas)
{
	if (xas_invalid(xas))
		return false;
	if (!xas->xa_node)
		return !xas->xa_shift && !xas->xa_sibs;
	return xas->xa_node->shift <= xas->xa_shift;
}

/* The first index of the slot at which a walk found an entry. */
__rust_helper unsigned long rust_helper_xas_slot_index(const struct xa_state *xas)
{
	unsigned int shift;

	if (!xas_is_node(xas))
		return 0;
	shift = xas->xa_node->shift;
	return (((xas->xa_index >> shift) & ~XA_CHUNK_MASK) | xas->xa_offset) << shift;
}
