//! Reads batches from safetensors files.
//! Each tensor is read in small pieces into its final place, so that memory holds a batch only once.

use aent::tensor::{DType, Device, Host, Tensor, TensorError};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The bytes read at a time.
const PIECE: usize = 16 << 20;
/// The bytes that store the length of the header.
const LENGTH_BYTES: u64 = 8;
/// The longest plausible header of a batch.
const LONGEST_HEADER: u64 = 64 << 20;

/// All tensors of a file by name, with floating-point ones converted to `dtype` if it is given.
pub(super) fn batch(
    host: &dyn Host,
    path: &Path,
    dtype: Option<DType>,
    device: Device,
) -> Result<Vec<(String, Tensor)>, String> {
    let name = path.display();
    let refuse = |reason: String| format!("cannot read the batch `{name}`: {reason}");
    let mut file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let (start, metadata) = header(&mut file).map_err(refuse)?;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let read = |(field, info): (String, &TensorInfo)| {
        let tensor =
            tensor(host, &mut file, start, info).map_err(|reason| refuse(format!("`{field}`: {reason}")))?;
        let tensor =
            convert(&tensor, dtype, device).map_err(|error| refuse(format!("`{field}`: {error}")))?;
        Ok((field, tensor))
    };
    tensors.into_iter().map(read).collect()
}

/// The offset of the tensors, and their descriptions.
fn header(file: &mut File) -> Result<(u64, Metadata), String> {
    let not_one = |reason: &str| format!("it is no safetensors file: {reason}");
    let whole = file.metadata().map_err(|error| error.to_string())?.len();
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut length).map_err(|_| not_one("it has fewer than 8 bytes"))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length > whole.saturating_sub(LENGTH_BYTES) {
        return Err(not_one("its header is longer than the file, or than any header"));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(|error| error.to_string())?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|error| not_one(&format!("its header cannot be read ({error})")))?;
    let start = LENGTH_BYTES + length;
    let wanted = start + metadata.data_len() as u64;
    if wanted != whole {
        return Err(format!(
            "expected {wanted} bytes by its header, found {whole}: it is cut off or damaged"
        ));
    }
    Ok((start, metadata))
}

fn tensor(host: &dyn Host, file: &mut File, start: u64, info: &TensorInfo) -> Result<Tensor, String> {
    let dtype = dtype(info.dtype)?;
    let torch = |error: TensorError| error.to_string();
    let shape = info.shape.iter().map(|&size| i64::try_from(size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| format!("its shape {:?} is too large", info.shape))?;
    let (first, end) = info.data_offsets;
    let bytes = end - first;
    let flat =
        Tensor::from_slice::<u8>(host, &[], &[0]).empty(&[bytes as i64], DType::U8).ok().map_err(torch)?;
    file.seek(SeekFrom::Start(start + first as u64)).map_err(|error| error.to_string())?;
    let mut piece = vec![0; PIECE.min(bytes)];
    let mut done = 0;
    while done < bytes {
        let length = PIECE.min(bytes - done);
        file.read_exact(&mut piece[..length]).map_err(|error| error.to_string())?;
        let place = flat.narrow(0, done as i64, length as i64);
        place.copy_(&Tensor::from_slice(host, &piece[..length], &[length as i64])).map_err(torch)?;
        done += length;
    }
    // Any byte but 0 means true; a plain view as truth values would not guarantee that.
    let typed = if dtype == DType::Bool { flat.ne(0i64) } else { flat.view_dtype(dtype) };
    typed.reshape(&shape).ok().map_err(torch)
}

fn dtype(dtype: Dtype) -> Result<DType, String> {
    Ok(match dtype {
        Dtype::BOOL => DType::Bool,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        other => return Err(format!("its kind {other:?} is none that torch computes with")),
    })
}

fn convert(tensor: &Tensor, dtype: Option<DType>, device: Device) -> Result<Tensor, TensorError> {
    let tensor = match dtype {
        Some(dtype) if tensor.dtype().is_float() => tensor.to_dtype(dtype),
        _ => tensor.clone(),
    };
    tensor.to_device(device).ok()
}
