//! The end-to-end suite: one binary, one module per promise.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod custody;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod encryption_sdk;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod in_use;
#[cfg(test)]
mod kms;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reseal;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod swaps;
#[cfg(test)]
mod transcript;
