// SPDX-License-Identifier: GPL-2.0

//! Host memory for pages that come home.

use crate::{
    advice::{
        attributes::Node,
        attributes_tree::Advice, //
    },
    migrate::host_folio::{
        self,
        FolioStock, //
    },
    prelude::*, //
};

/// Where pages of a mapping lie when they come home: on the node that is named for them, or near it
/// when that is full; without one where the memory policy wants them.
pub(crate) struct Home<'a> {
    vma: &'a VmaRef,
    /// The pages for which the node is named.
    pages: PageRange,
    node: Option<i32>,
}

impl<'a> Home<'a> {
    /// A node for all pages.
    pub(crate) fn on(vma: &'a VmaRef, node: i32) -> Self {
        Self {
            vma,
            pages: PageRange::ALL,
            node: Some(node),
        }
    }

    /// The node that the program prefers for `page`, and for those around it that it advised the
    /// same of.
    ///
    /// To be made before pages are collected: it waits for who changes advice.
    pub(crate) fn advised(vma: &'a VmaRef, page: u64) -> Self {
        let (pages, node) = match Advice::find(vma.mm()).map(|advice| advice.at(page)) {
            Some((pages, attributes)) => match attributes.preferred {
                Some(Node::Host(nid)) => (pages, Some(nid)),
                _ => (pages, None),
            },
            None => (PageRange::ALL, None),
        };
        Self { vma, pages, node }
    }

    fn node(&self, page: u64) -> Option<i32> {
        self.node
            .filter(|_| (self.pages.first()..self.pages.end()).contains(&page))
    }
}

/// Folios for the pages of a range, in ascending order.
pub(crate) struct Rooms<'a> {
    home: &'a Home<'a>,
    range: PageRange,
    stock: FolioStock,
    /// Where the folios of the stock are.
    node: Option<i32>,
}

impl<'a> Rooms<'a> {
    pub(crate) fn new(home: &'a Home<'a>, range: PageRange) -> Self {
        Self {
            home,
            range,
            stock: FolioStock::new(),
            node: None,
        }
    }

    /// Allocates a folio for page `index` of the range; there may be need for more behind it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn folio(&mut self, order: u32, index: usize) -> Result<LockedFolio> {
        let page = self.range.first() + index as u64;
        let addr = (page << PAGE_SHIFT) as usize;
        let node = self.home.node(page);

        if order > 0 {
            return host_folio::home(order, self.home.vma, addr, node);
        }
        if node != self.node {
            self.stock = FolioStock::new();
            self.node = node;
        }
        let left = self.range.end().saturating_sub(page) as usize;
        self.stock.home(self.home.vma, addr, left, node)
    }
}
