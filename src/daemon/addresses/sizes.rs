//! Whether all blocks of a pool have one size: blocks of two sizes share addresses.

use crate::cluster::Kubernetes;
use crate::ipam::pool::BlockSize;
use crate::ipam::{Block, PoolName, PoolSpec};

/// Whether a new block of `pool` may be granted, **now that it is created**, with the sizes of `used`. A pool that was
/// deleted and created again may have blocks of others. Of two nodes that create such blocks, one sees the other's block,
/// or the other one sees the new pool. `known` are the sizes of which it is known that the pool has no others.
///
/// # Errors
/// Why not.
pub async fn judge(
    kubernetes: &Kubernetes,
    pool: &PoolName,
    used: Option<&PoolSpec>,
    known: &mut Option<BlockSize>,
) -> Result<(), String> {
    let used = used.map(|spec| &spec.block_size);
    let now = kubernetes.address_pool(pool).await.map_err(|e| e.to_string())?.map(|pool| pool.spec.block_size);
    let Some(sizes) = now.filter(|now| Some(now) == used) else {
        return Err("it was deleted, or created again with another blockSize".to_owned());
    };
    if known.as_ref() == Some(&sizes) {
        return Ok(());
    }
    let of = |block: &Block| if block.first.is_ipv4() { sizes.v4 } else { sizes.v6 };
    let blocks = kubernetes.all_blocks(pool).await.map_err(|e| e.to_string())?;
    let others: Vec<&Block> = blocks.iter().filter(|block| block.size != of(block)).collect();
    if let Some(first) = others.first() {
        return Err(format!(
            "{} of its blocks have another size than its blockSize, first {} with {} addresses: a former pool had this name; new blocks are leased when nodes have returned those",
            others.len(),
            first.first,
            first.size
        ));
    }
    *known = Some(sizes);
    Ok(())
}
